"""Who can move a rescued instance, by the service records alone."""

import pytest

from livemig import exception
from livemig.objects import service
from livemig.virt import driver


def report(db, host, able=True, version=2):
    facts = driver.HostFacts(
        host=host,
        hypervisor_type='QEMU',
        hypervisor_version=7002000,
        migration_uri='',
        migration_address=None,
        instances_path='/i',
        vcpus=1,
        memory_mib=1,
        memory_used_mib=0,
        disk_total_bytes=0,
        disk_free_bytes=0,
        capabilities=driver.Capabilities(supports_live_migrate_rescued=able),
    )
    db.service_report(
        {
            'host': host,
            'binary': 'nova-compute',
            'version': version,
            'facts': facts.to_dict(),
        }
    )


@pytest.mark.parametrize('destination', ['host2', None])
def test_able_hosts(db, ctxt, instance, destination):
    report(db, 'host1')
    report(db, 'host2')
    report(db, 'host3', able=False)
    assert service.rescued_refusal(ctxt, instance, destination) is None


@pytest.mark.parametrize('destination', ['host2', None])
@pytest.mark.parametrize(
    ('how', 'why'), [({'able': False}, 'driver'), ({'version': 1}, 'too old')]
)
def test_a_source_that_cannot(db, ctxt, instance, destination, how, why):
    report(db, 'host1', **how)
    report(db, 'host2')
    text = service.rescued_refusal(ctxt, instance, destination)
    assert text.startswith(
        'A rescued instance cannot be migrated live because of source host '
        'host1: its '
    )
    assert text.endswith('.')
    assert '. ' not in text
    assert why in text
    assert 'destination' not in text


@pytest.mark.parametrize(
    ('how', 'why'), [({'able': False}, 'driver'), ({'version': 1}, 'too old')]
)
def test_a_destination_that_cannot(db, ctxt, instance, how, why):
    report(db, 'host1')
    report(db, 'host2', **how)
    report(db, 'host3')
    text = service.rescued_refusal(ctxt, instance, 'host2')
    assert 'destination host host2: ' in text
    assert why in text
    assert 'source' not in text
    assert service.rescued_refusal(ctxt, instance, None) is None


def test_no_host_that_can(db, ctxt, instance):
    report(db, 'host1')
    report(db, 'host2', able=False)
    report(db, 'host3', version=1)
    text = service.rescued_refusal(ctxt, instance, None)
    assert 'destination host host2: its driver' in text
    assert 'destination host host3: its compute manager is too old' in text


def test_no_other_host_at_all_is_the_placement_s_to_tell(db, ctxt, instance):
    report(db, 'host1')
    assert service.rescued_refusal(ctxt, instance, None) is None


def test_a_host_that_never_reported(db, ctxt, instance):
    report(db, 'host1')
    with pytest.raises(exception.HostNotFound):
        service.rescued_refusal(ctxt, instance, 'host2')


def test_a_host_that_has_told_nothing(db, ctxt, instance):
    db.service_report(
        {'host': 'host1', 'binary': 'nova-compute', 'version': 2}
    )
    assert 'source host host1' in service.rescued_refusal(ctxt, instance, None)
