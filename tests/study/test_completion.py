"""Shell completion, asked of the shells themselves."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import run_study
from study.cli import COMMANDS, SHELLS, parser

ROOT = Path(__file__).resolve().parents[2]


def script(shell):
    command = [sys.executable, "run_study.py", "--print-completion", shell]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def offered(words, folder):
    """What bash offers for the last of `words`, which may be unfinished; it starts no program."""
    asked = (
        "PATH=/nowhere\n"  # a script that called Python for its answer would find none
        f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
        f"_shtab_dae_study dae-study {words[-1]!r} {words[-2]!r}\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    bash = [shutil.which("bash"), "--norc", "--noprofile", "-c", f"{script('bash')}\n{asked}"]
    done = subprocess.run(bash, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_options_choices_and_paths(tmp_path):
    (tmp_path / "mine.gct").touch()
    (tmp_path / "runs").mkdir()
    assert set(COMMANDS) <= offered(["dae-study", ""], tmp_path)
    assert offered(["dae-study", "--gr"], tmp_path) == {"--grid", "--group"}
    assert offered(["dae-study", "--transform", ""], tmp_path) == {"auto", "none", "log2p1"}
    assert offered(["dae-study", "--data", "mi"], tmp_path) == {"mine.gct"}
    assert offered(["dae-study", "reproduce", "--r"], tmp_path) == {"--run"}
    assert "runs" in offered(["dae-study", "report", "ru"], tmp_path)


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish")
def test_fish_completes_commands_options_and_choices(tmp_path):
    (tmp_path / "dae.fish").write_text(script("fish"))

    def answers(line):
        command = ["fish", "--no-config", "-c", f"source dae.fish; complete -C {line!r}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stderr == ""
        return {line.partition("\t")[0] for line in done.stdout.splitlines()}

    assert set(COMMANDS) <= answers("dae-study ")
    assert answers("dae-study --gr") == {"--grid", "--group"}
    assert answers("dae-study --transform ") == {"auto", "none", "log2p1"}
    assert answers("dae-study reproduce --r") == {"--run"}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"no {shell}")
    done = subprocess.run(
        [path, "-n", "/dev/stdin"], input=script(shell), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_shell_that_is_not_known_is_refused(capsys):
    assert run_study.main(["--print-completion", "cmd"]) == 2
    assert "bash" in capsys.readouterr().err


def test_the_script_is_made_without_anything_heavy():
    code = (
        "import run_study, contextlib, sys\n"
        "with contextlib.suppress(SystemExit): run_study.main(['--print-completion', 'bash'])\n"
        "print(sorted({'torch', 'ray', 'numpy', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_is_no_option_of_a_study():
    assert vars(parser().parse_args(["--grid", "smoke"])) == {"grid": "smoke"}
