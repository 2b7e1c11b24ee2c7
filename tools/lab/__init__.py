"""The laboratory: hosts, guests and faults to try livemig on."""
