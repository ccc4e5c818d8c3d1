"""What programs run on: devices and processes, stored steps, locks, columnar files.

devices     a mesh of two axes, several processes as one, programs that are kept
checkpoint  steps of a long computation that a killed run does not repeat
locks       one writer at a time
parquet     Parquet files as data frames
"""
