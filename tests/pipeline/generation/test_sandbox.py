"""What a program that nobody has read cannot do."""

import struct

import pytest

from pipeline.generation.sandbox import (
    CALLS,
    Bounds,
    NoSandboxError,
    no_new_processes,
    require_sandbox,
    run_python,
)

ROOMY = Bounds(seconds=30)


@pytest.fixture
def sandbox() -> None:
    try:
        require_sandbox()
    except NoSandboxError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("sandbox")
def test_a_program_runs_with_the_standard_library_and_threads() -> None:
    program = (
        "import json, threading\n"
        "t = threading.Thread(target=lambda: print(json.dumps({'a': 1})))\n"
        "t.start(); t.join()\n"
    )
    assert run_python(program, ROOMY) == run_python(program, ROOMY)
    assert (run_python(program, ROOMY).ending, run_python(program, ROOMY).output) == (
        "ended",
        '{"a": 1}\n',
    )


@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import os\nwhile True: os.fork()", "PermissionError"),
        ("import subprocess; subprocess.run(['/bin/true'])", "PermissionError"),
        ("import socket; socket.create_connection(('192.0.2.1', 80), 2)", "unreachable"),
        ("print(open('/etc/passwd').read())", "FileNotFoundError"),
        ("open('/usr/here', 'w')", "Read-only file system"),
        ("open('/tmp/large', 'w').write('x' * 2**17)", "File too large"),
        ("x = bytearray(2**30)", "MemoryError"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (-1, -1))", "ValueError"),
        ("\ud800", "SyntaxError"),
    ],
)
def test_what_is_forbidden_is_an_error_of_the_program(program: str, says: str) -> None:
    ran = run_python(program, ROOMY)
    assert ran.ending == "failed" and says in ran.output


@pytest.mark.usefixtures("sandbox")
def test_it_sees_no_environment_no_process_and_no_file_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    program = (
        "import os\n"
        "print(dict(os.environ), open('/proc/self/environ').read())\n"
        "print([p for p in os.listdir('/proc') if p.isdigit() and int(p) > 2])\n"
        "print(os.getcwd(), os.listdir('.'), os.listdir('/program'), os.getuid())\n"
    )
    ran = run_python(program, ROOMY)
    assert ran.ending == "ended" and "secret" not in ran.output and "API_KEY" not in ran.output
    assert ran.output.splitlines()[1:] == ["[]", "/tmp [] ['main.py'] 65534"]


@pytest.mark.usefixtures("sandbox")
def test_time_and_output_are_bounded() -> None:
    short = Bounds(seconds=1, output_bytes=1000)
    assert run_python("import time; time.sleep(60)", short).ending == "too_slow"
    assert run_python("while True: pass", short).ending == "too_slow"
    ran = run_python("print('x' * 999)", Bounds(seconds=30, output_bytes=1000))
    assert ran.ending == "too_much_output" and len(ran.output) == 1000
    ran = run_python("print('x' * 998)", Bounds(seconds=30, output_bytes=1000))
    assert ran.ending == "ended" and len(ran.output) == 999


@pytest.mark.parametrize("machine", CALLS)
def test_a_filter_lets_threads_start_and_nothing_else(machine: str) -> None:
    """The filter, run by hand: (number, flags) of a call → what the kernel would do."""
    calls, filter_ = CALLS[machine], no_new_processes(machine)

    def decide(number: int, flags: int = 0, kind: int = calls.machine) -> int:
        fields = {0: number, 4: kind, 16: flags}
        loaded = place = 0
        while True:
            operation, yes, no, value = struct.unpack_from("=HBBI", filter_, place * 8)
            place += 1
            if operation == 0x20:
                loaded = fields[value]
            elif operation == 0x06:
                return int(value)
            else:
                true = {
                    0x15: loaded == value,
                    0x45: bool(loaded & value),
                    0x35: loaded >= value,
                }[operation]
                place += yes if true else no

    allow, kill = 0x7FFF0000, 0x80000000
    assert decide(0) == allow
    assert decide(calls.clone, 0x10000) == allow and decide(calls.clone, 0x11) == 0x50001
    assert decide(calls.clone3) == 0x50026, "not there, so that clone is asked"
    assert {decide(each) for each in calls.refused} == {0x50001}
    assert decide(0, kind=1) == kill and decide(0x40000000) == 0x50001


def test_a_machine_whose_calls_are_not_known_is_refused() -> None:
    with pytest.raises(NoSandboxError, match="x86_64 and aarch64, not on riscv64"):
        no_new_processes("riscv64")
