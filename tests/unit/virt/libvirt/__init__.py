"""Tests of the libvirt driver that need libvirt's binding, no daemon."""
