"""livemig: live migration of libvirt/QEMU guests, operator in charge."""
