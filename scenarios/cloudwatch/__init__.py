"""Eight CloudWatch metrics in one stream, out of order and some late: windows, scores, alarms."""
