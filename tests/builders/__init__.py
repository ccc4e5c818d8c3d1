"""What tests are made of: projects, constraints, a browser."""
