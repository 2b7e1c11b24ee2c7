"""tools/hygiene.py finds what it says it finds, and nothing else."""

import hygiene
import pytest


@pytest.mark.parametrize(
    ('name', 'data', 'said'),
    [
        ('a.py', b'x = 1 \n', 'a.py:1: spaces'),
        ('a.py', b'x = 1\r\n', 'a.py:1: spaces (or CR)'),
        ('a.py', b'\tx = 1\n', 'a.py:1: a tab'),
        ('a.py', b'x = 1', 'no newline at the end'),
        ('a.py', b'x = 1\n\n', 'empty lines at the end'),
        ('a.py', b'\xff\n', 'not UTF-8'),
        ('a.py', b'a\n' + b'<' * 7 + b' HEAD\n', 'a.py:2: mark of a merge'),
        ('a.py', b'#' * (500 * 1024) + b'\n', 'larger than'),
        ('a.yaml', b'a: [1\n', 'a.yaml'),
        ('a.toml', b'a = \n', 'a.toml'),
    ],
)
def test_complaints(tmp_path, capsys, name, data, said):
    file = tmp_path / name
    file.write_bytes(data)
    assert hygiene.main([str(file)]) == 1
    assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.rst', 'Title\n=======\n'),
        ('a.yaml', 'a: [1]\n---\nb: 2\n'),
        ('a.toml', 'a = 1\n'),
        ('a.py', ''),
        ('a.mk', 'all:\n\ttrue\n'),
    ],
)
def test_no_complaints(tmp_path, capsys, name, text):
    file = tmp_path / name
    file.write_text(text)
    assert hygiene.main([str(file)]) == 0
    assert capsys.readouterr().out.strip() == ''
