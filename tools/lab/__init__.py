"""The laboratory: hosts, guests and faults to try livemig on."""

from lab.client import Handle, LabError
from lab.hosts import Host
from lab.labs import Lab
from lab.proxy import BlackHole, Proxy

__all__ = ['BlackHole', 'Handle', 'Host', 'Lab', 'LabError', 'Proxy']
