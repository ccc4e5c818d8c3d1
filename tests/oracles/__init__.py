"""What tests are held against: the same counted again, by code that shares nothing with the package."""
