"""The lab's list of packages, and how an installation is guarded."""

import subprocess
import threading
from pathlib import Path

import pytest

from lab import apt_as_root, kernel, packages


def test_each_package_has_a_reason_and_a_plain_name() -> None:
    for listed in packages.PACKAGES.values():
        assert listed
        for package in listed:
            assert package.reason
            assert package.name == package.name.strip().lower()


def test_wanted_names_each_package_once() -> None:
    names = [p.name for p in packages.wanted(['build', 'guests', 'build'])]

    assert names.count('gcc') == 1
    assert {'libvirt-dev', 'zstd'} <= set(names)


def test_an_unknown_purpose_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'brokre'.*broker"):
        packages.wanted(['hosts', 'brokre'])


def test_missing_believes_dpkg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(
        tmp_path / 'dpkg-query',
        'echo "installed gcc"\necho "config-files libc6-dev"\nexit 1',
    )
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')

    names = [p.name for p in packages.missing(['build'])]

    assert 'gcc' not in names
    assert 'libc6-dev' in names  # removed, its configuration left
    assert 'libvirt-dev' in names


def test_without_apt_the_operator_is_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / 'dpkg-query', 'exit 1')
    monkeypatch.setenv('PATH', str(tmp_path))

    with pytest.raises(packages.CannotInstall) as caught:
        packages.install(['broker'])

    text = str(caught.value)
    assert 'there is no apt-get' in text
    assert 'rabbitmq-server' in text
    assert 'the message broker of production' in text


def test_install_ends_with_3_where_it_cannot(tmp_path: Path) -> None:
    _program(tmp_path / 'dpkg-query', 'exit 1')
    root = Path(__file__).parents[3]

    result = subprocess.run(
        ['/bin/sh', root / 'tools/lab.sh', 'install', 'broker'],
        env={'PATH': f'{tmp_path}:{_without_apt(tmp_path)}'},
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 3, result.stderr
    assert 'rabbitmq-server' in result.stderr


def test_services_stay_down_during_the_installation(tmp_path: Path) -> None:
    policy = tmp_path / 'policy-rc.d'

    with apt_as_root.services_stay_down(policy):
        answer = subprocess.run([policy, 'any', 'start'], check=False)
        assert answer.returncode == 101

    assert not policy.exists()


def test_an_administrators_policy_is_left_alone(tmp_path: Path) -> None:
    policy = tmp_path / 'policy-rc.d'
    policy.write_text('#!/bin/sh\nexit 0\n')

    with apt_as_root.services_stay_down(policy):
        assert policy.read_text() == '#!/bin/sh\nexit 0\n'

    assert policy.read_text() == '#!/bin/sh\nexit 0\n'


def test_what_a_killed_run_left_is_taken_over(tmp_path: Path) -> None:
    policy = tmp_path / 'policy-rc.d'
    policy.write_text(f'#!/bin/sh\n{apt_as_root.POLICY_MARK}\nexit 101\n')

    with apt_as_root.services_stay_down(policy):
        assert subprocess.run([policy], check=False).returncode == 101

    assert not policy.exists()


def test_the_policy_goes_even_if_the_installation_fails(
    tmp_path: Path,
) -> None:
    policy = tmp_path / 'policy-rc.d'

    with (
        pytest.raises(SystemExit),
        apt_as_root.services_stay_down(policy),
    ):
        raise SystemExit(143)

    assert not policy.exists()


def test_two_installations_run_one_after_the_other(tmp_path: Path) -> None:
    lock, events = tmp_path / 'lock', []
    inside, may_leave = threading.Event(), threading.Event()

    def first() -> None:
        with apt_as_root.alone(lock):
            inside.set()
            may_leave.wait(10)
            events.append('first leaves')

    def second() -> None:
        with apt_as_root.alone(lock):
            events.append('second enters')

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert inside.wait(10)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    threads[1].join(0.2)  # it must still wait; if it does not, this shows
    may_leave.set()
    for thread in threads:
        thread.join(10)

    assert events == ['first leaves', 'second enters']


@pytest.mark.parametrize('names', [[], ['-o'], ['a b'], ['../x'], ['gcc;x']])
def test_only_package_names_reach_apt(
    names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', '/nonexistent')  # apt-get would not be found

    assert apt_as_root.main(names) == 2


def test_apt_removes_nothing_and_says_only_what_tells_something(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    _program(
        tmp_path / 'apt-get',
        'echo "$@" >"$(dirname "$0")/words"\n'
        'echo "Need to get 45.8 MB of archives."\n'
        'echo "Unpacking gcc ..."\n'
        'echo "E: it broke" >&2\n'
        'exit 100',
    )
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')

    code, said = apt_as_root._apt('install', 'gcc')

    assert code == 100
    assert 'Unpacking gcc' in said
    assert 'E: it broke' in said
    assert '--no-remove' in (tmp_path / 'words').read_text().split()
    shown = capfd.readouterr()
    assert shown.out == '  Need to get 45.8 MB of archives.\n'
    assert shown.err == ''


def test_a_kernel_in_the_cache_is_used_without_apt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PATH', '/nonexistent')
    kept = tmp_path / 'kernel-6.1.0-1-cloud-amd64'
    (kept / 'modules').mkdir(parents=True)
    (kept / 'vmlinuz').write_bytes(b'kernel')

    assert kernel.kernel(tmp_path) == kept / 'vmlinuz'
    assert kernel.kernel_modules(tmp_path) == kept / 'modules'


def test_the_real_package_is_found_behind_ubuntus_metapackage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(
        tmp_path / 'apt-cache',
        'test "$3" = linux-image-virtual || exit 100\n'
        'echo linux-image-virtual\n'
        'echo "  Depends: linux-image-6.8.0-31-generic"\n'
        'echo "  Depends: linux-base"',
    )
    monkeypatch.setenv('PATH', f'{tmp_path}:/usr/bin:/bin')

    assert kernel._real_package() == (
        'linux-image-6.8.0-31-generic',
        '6.8.0-31-generic',
    )


def test_modules_come_with_what_they_depend_on(tmp_path: Path) -> None:
    version = '6.1.0-1-amd64'
    modules = tmp_path / 'modules' / version / 'kernel'
    modules.mkdir(parents=True)
    for name, depends in {
        'virtio_blk': 'virtio,virtio-ring',
        'virtio': '',
        'virtio-ring': 'virtio',
        'sound': '',
    }.items():
        text = f'\0license=GPL\0depends={depends}\0name={name}\0'
        (modules / f'{name}.ko').write_bytes(text.encode())
    image = tmp_path / f'vmlinuz-{version}'
    image.write_bytes(b'kernel')
    cache = tmp_path / 'cache'
    cache.mkdir()

    kept = kernel._keep(cache, image, tmp_path / 'modules')

    assert kept.read_bytes() == b'kernel'
    assert sorted(p.name for p in (kept.parent / 'modules').iterdir()) == [
        'virtio.ko',
        'virtio_blk.ko',
        'virtio_ring.ko',
    ]
    assert [p.name for p in cache.iterdir()] == [f'kernel-{version}']


def _program(path: Path, body: str) -> None:
    path.write_text(f'#!/bin/sh\n{body}\n')
    path.chmod(0o755)


def _without_apt(directory: Path) -> Path:
    """A directory with what lab.sh needs, and no apt-get."""
    programs = directory / 'programs'
    programs.mkdir()
    python = Path('/usr/bin/python3')
    for program in (python, Path('/usr/bin/dirname')):
        (programs / program.name).symlink_to(program)
    return programs
