"""Stand-ins for AWS, images and provisioning. Nothing in `pipelines/` imports this."""
