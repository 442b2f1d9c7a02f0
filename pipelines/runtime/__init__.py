"""What every room needs: options, AWS clients, clock, errors, metrics, logs, and the runner's process."""
