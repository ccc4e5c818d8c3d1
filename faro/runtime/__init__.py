"""What programs run on: devices and processes, stored steps, locks, columnar files."""
