"""Tests that tempest runs against a livemig that an operator has set up."""
