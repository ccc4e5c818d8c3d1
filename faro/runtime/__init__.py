"""What programs run on: devices and processes, stored steps, locks, columnar files.

devices     a mesh of two axes, several processes as one, arrays placed on them
programs    programs that are compiled once, and kept for later runs
checkpoint  steps of a long computation that a killed run does not repeat
locks       one writer at a time
parquet     Parquet and Arrow files as data frames
threads     how many of a CPU's threads compute
versions    of installed packages
quiet       what libraries print of themselves, which goes nowhere
"""
