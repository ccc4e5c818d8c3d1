"""action.yml and the CI examples, run by bash with a stand-in for `faro`: no answer before the ledger is safe."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.builders.ci_files import ACTION, GITHUB, GITLAB, ROOT

FARO = """#!/usr/bin/env bash
# A stand-in: notes how it was called, writes what faro gate would, and ends with the code it was given.
# A table that was asked about before has its entry, as with the real one.
printf '%s\\n' "$@" > called
echo "${FARO_LEDGER_SEED-none}" > seed
[ "$1" = score ] && exit 0
table=$2
while [ $# -gt 0 ]; do
  case "$1" in --out | --html | --junit-xml | --sarif) echo "$1" > "$2" ;; --ledger) ledger=$2 ;; esac
  shift
done
grep -qF "$table" "$ledger" || printf '{"kind": "attempt", "rows": "%s"}\\n' "$table" >> "$ledger"
wc -l < "$ledger" > "$ledger.head"
[ -n "$GITHUB_STEP_SUMMARY" ] && echo "## the summary" >> "$GITHUB_STEP_SUMMARY"
echo "THE ANSWER"
echo "::error title=faro::THE ANSWER" >&2
exit "$CODE"
"""
SEED = "5eed" * 16
ME = ("-c", "user.name=me", "-c", "user.email=me@example.org")
OUTPUTS = {"certificate.json", "certificate.html", "junit.xml", "faro.sarif"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `checkout` copies."""
    folder = tmp_path_factory.mktemp("made")
    remote, ledger = folder / "remote.git", folder / "work/ledger"
    git("init", "--quiet", "--bare", "--initial-branch=faro-ledger", "--template=", remote)
    git("clone", "--quiet", "--template=", remote, ledger)
    git("-C", ledger, "checkout", "--quiet", "-B", "faro-ledger")
    for name, text in {
        "": '{"kind": "init"}\n',
        ".head": "1\n",
        ".units": "faro-audit/1 salt\n",
        ".seed": SEED,
    }.items():
        (ledger / f"ledger.jsonl{name}").write_text(text)
    (ledger / ".gitignore").write_text("*.seed\n")
    git("-C", ledger, "add", "--all")
    git("-C", ledger, *ME, "commit", "--quiet", "-m", "init")
    git("-C", ledger, "push", "--quiet", "-u", "origin", "faro-ledger")
    (folder / "tools").mkdir()
    for name, text in {"faro": FARO, "pip": "#!/bin/sh\n", "curl": "#!/bin/sh\n"}.items():
        (folder / "tools" / name).write_text(text)
        (folder / "tools" / name).chmod(0o755)
    return folder


@pytest.fixture
def checkout(made, tmp_path, monkeypatch):
    """A working folder with a stand-in `faro` and a ledger in a clone of `remote`; returns (folder, remote)."""
    for name, value in (("AUTHOR", "a"), ("COMMITTER", "c")):
        monkeypatch.setenv(f"GIT_{name}_NAME", value)
        monkeypatch.setenv(f"GIT_{name}_EMAIL", f"{value}@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("PATH", f"{tmp_path}/tools:{os.environ['PATH']}")
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    work, remote = tmp_path / "work", tmp_path / "remote.git"
    git("-C", work / "ledger", "remote", "set-url", "origin", remote)
    return work, remote


def git(*words, **options):
    return subprocess.run(["git", *map(str, words)], check=True, capture_output=True, text=True, **options).stdout


def counted(remote, ledger="ledger.jsonl"):
    """The entries on the branch; its head is of the last one, and the seed is nowhere."""
    assert SEED not in git("-C", remote, "cat-file", "--batch", "--batch-all-objects", errors="replace")
    entries = git("-C", remote, "show", f"faro-ledger:{ledger}").splitlines()
    assert git("-C", remote, "show", f"faro-ledger:{ledger}.head").split() == [str(len(entries))]
    return entries


def run_action(work, code, **given):
    """The steps of action.yml as GitHub would run them; (exit code, everything shown, summary, outputs)."""
    inputs = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()}
    inputs |= {"table": "gate.csv", "ledger": "ledger/ledger.jsonl", "install": ""} | given
    assert set(inputs) == set(ACTION["inputs"])
    outputs, shown = {}, ""
    summary, scratch = work / "summary.md", work / "runner"
    summary.write_text("")
    scratch.mkdir(exist_ok=True)
    for step in ACTION["runs"]["steps"]:
        if "if" in step and not inputs["install"]:
            continue
        assert "${{" not in step["run"]  # inputs reach the shell through the environment only

        def value(found):
            kind, *names = found[1].strip().split(".")
            return inputs[names[0]] if kind == "inputs" else outputs[names[0], names[2]]

        env = {key: re.sub(r"\$\{\{(.*?)\}\}", value, text) for key, text in step["env"].items()}
        (work / "output").write_text("")
        shell = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=work, capture_output=True,
            text=True, env=env | {"PATH": os.environ["PATH"], "CODE": str(code), "HOME": str(work),
                                  "GIT_CONFIG_GLOBAL": "/dev/null", "GITHUB_ACTION_PATH": str(ROOT),
                                  "RUNNER_TEMP": str(scratch), "GITHUB_OUTPUT": str(work / "output"),
                                  "GITHUB_STEP_SUMMARY": str(summary)},
        )  # fmt: skip
        shown += shell.stdout + shell.stderr
        for line in (work / "output").read_text().splitlines():
            key, _, text = line.partition("=")
            outputs[step["id"], key] = text
        if shell.returncode:
            break
    assert not list(scratch.iterdir())  # what was held back is gone, also where it was not shown
    return shell.returncode, shown, summary.read_text(), outputs


def refused(work, word, code=0, **given):
    """That a job ends with 70, says `word`, and nothing of the answer is anywhere."""
    ended, shown, summary, outputs = run_action(work, code, **given)
    assert (ended, summary, ("show", "code") in outputs) == (70, "", False)
    assert word in shown and "THE ANSWER" not in shown
    assert not (work / "faro-gate").exists() or not OUTPUTS & {path.name for path in (work / "faro-gate").iterdir()}


def shown(work, remote, entries, code=0, **given):
    """That a job shows its answer, and that the branch has so many entries."""
    ended, text, summary, outputs = run_action(work, code, **given)
    assert (ended, summary, outputs["show", "code"]) == (code, "## the summary\n", str(code)), text
    assert "THE ANSWER" in text
    assert len(counted(remote, Path(given.get("ledger", "/ledger.jsonl")).name)) == entries


@pytest.mark.parametrize("code", [0, 1, 3, 5, 70])
def test_action_shows_the_answer_after_the_ledger_is_pushed(checkout, code):
    work, remote = checkout
    ended, shown, summary, outputs = run_action(work, code)
    assert ended == code
    assert outputs["show", "code"] == str(code)
    assert "THE ANSWER" in shown
    assert "::error title=faro::THE ANSWER" in shown.splitlines()
    assert summary == "## the summary\n"
    assert len(counted(remote)) == 2
    assert {path.name for path in (work / "faro-gate").iterdir()} == OUTPUTS


def test_the_seed_reaches_the_gate_alone(checkout):
    work, remote = checkout
    run_action(work, 1)
    assert (work / "seed").read_text() == "none\n"  # unset, not empty
    shown(work, remote, 3, table="second.csv", seed=SEED)
    assert (work / "seed").read_text() == f"{SEED}\n"
    assert [step["name"] for step in ACTION["runs"]["steps"] if "FARO_LEDGER_SEED" in step["env"]] == [
        "Ask the gate, hold the answer back"
    ]


def test_outputs_that_cannot_be_copied_fail_the_job(checkout):
    work, remote = checkout
    (work / "faro-gate").write_text("in the way")
    ended, text, summary, outputs = run_action(work, 0, out="faro-gate/deeper")
    assert (ended, summary, ("show", "code") in outputs) == (70, "", False)
    assert "THE ANSWER" not in text
    (work / "faro-gate").unlink()
    (work / "faro-gate").mkdir()
    (work / "faro-gate/certificate.json").write_text("of an earlier attempt that passed")
    shown(work, remote, 2, code=1)
    assert "earlier" not in (work / "faro-gate/certificate.json").read_text()


# Where the ledger may be, and what git may do -------------------------------------------------------------------------


def hook(folder, name, text):
    (folder / "hooks").mkdir(exist_ok=True)
    who = " ".join(f"GIT_{one}_NAME=h GIT_{one}_EMAIL=h@example.org" for one in ("AUTHOR", "COMMITTER"))
    (folder / "hooks" / name).write_text(f"#!/bin/sh\nexport {who}\n{text}\n")
    (folder / "hooks" / name).chmod(0o755)


def attempt_elsewhere(work, remote, table="other.csv"):
    """Another job, in its own checkout."""
    other = work.parent / f"other-{table}"
    other.mkdir()
    git("clone", "--quiet", remote, other / "ledger")
    return run_action(other, 0, table=table)


def test_a_retry_after_a_failed_push_shows_nothing_until_the_entry_is_there(checkout):
    work, remote = checkout
    remote.rename(work / "away")
    for _ in range(3):
        refused(work, "not counted")
    (work / "away").rename(remote)
    assert len(counted(remote)) == 1
    shown(work, remote, 2)
    shown(work, remote, 2)  # the same scores again: nothing new, but it is there
    shown(work, remote, 3, table="second.csv")  # in the same checkout


def test_an_entry_that_an_older_action_committed_and_could_not_push_is_pushed(checkout):
    work, remote = checkout
    remote.rename(work / "away")
    refused(work, "not counted")
    git("-C", work / "ledger", "commit", "--quiet", "--all", "-m", "as the first action.yml did")
    refused(work, "not counted")
    (work / "away").rename(remote)
    shown(work, remote, 2)


def test_a_branch_that_takes_no_push_shows_nothing(checkout):
    work, remote = checkout
    for name in ("pre-receive", "update"):
        hook(remote, name, "echo protected; exit 1")
        refused(work, "protected")
        (remote / f"hooks/{name}").unlink()
    hook(work / "ledger/.git", "pre-push", "echo not today >&2; exit 1")
    refused(work, "not today")
    (work / "ledger/.git/hooks/pre-push").unlink()
    shown(work, remote, 2)


@pytest.mark.parametrize(
    "change",
    [
        "git update-ref refs/heads/faro-ledger $old",  # dropped
        "git update-ref refs/heads/faro-ledger $(git commit-tree -p $new -m changed $(git rev-parse $old^{tree}))",
        "git update-ref refs/heads/other $new; git update-ref refs/heads/faro-ledger $old",  # put elsewhere
        "git update-ref -d refs/heads/faro-ledger",
    ],
)
def test_a_push_that_the_remote_takes_and_undoes_is_noticed(checkout, change):
    work, remote = checkout
    hook(remote, "post-receive", f"read old new ref; {change}")
    refused(work, "not counted")


def test_a_pushurl_of_another_repository_does_not_count(checkout):
    work, remote = checkout
    git("clone", "--quiet", "--bare", remote, work / "mirror.git")
    git("-C", work / "ledger", "remote", "set-url", "--push", "origin", work / "mirror.git")
    refused(work, "differs")
    assert len(counted(remote)) == 1


def test_a_stale_checkout_is_refused_and_its_attempt_is_asked_again(checkout):
    work, remote = checkout
    git("clone", "--quiet", remote, work.parent / "stale")
    shown(work, remote, 2)
    (work / "ledger").rename(work / "newer")
    (work.parent / "stale").rename(work / "ledger")
    refused(work, "another attempt was counted", table="second.csv")
    refused(work, "another attempt was counted", table="second.csv")  # nor in the same checkout
    git("-C", work / "ledger", "reset", "--quiet", "--hard")
    shown(work, remote, 2)  # the entry that these scores would get is the one that is counted


def test_other_commits_on_the_branch_are_built_upon(checkout):
    work, remote = checkout
    git("clone", "--quiet", remote, work / "second")
    (work / "second/README").write_text("what this branch is\n")
    git("-C", work / "second", "add", "README")
    git("-C", work / "second", "commit", "--quiet", "-m", "words")
    git("-C", work / "second", "push", "--quiet")
    shown(work, remote, 2)
    assert git("-C", remote, "show", "faro-ledger:README") == "what this branch is\n"


def test_of_two_jobs_at_once_the_second_is_refused(checkout):
    work, remote = checkout
    # another job pushes between this one's look and its push
    hook(work / "ledger/.git", "pre-push", f"cd {work.parent} && rm -f {work}/ledger/.git/hooks/pre-push && "
         f"git clone --quiet {remote} race && cd race && echo '{{\"kind\": \"other\"}}' >> ledger.jsonl && "
         "echo 2 > ledger.jsonl.head && git commit --quiet --all -m other && git push --quiet")  # fmt: skip
    refused(work, "rejected")
    assert [json.loads(line)["kind"] for line in counted(remote)] == ["init", "other"]
    # and right after its push, before it reads back: counted, but not shown
    shutil.rmtree(work / "ledger")
    git("clone", "--quiet", remote, work / "ledger")
    hook(remote, "post-receive", f"rm hooks/post-receive; unset GIT_DIR; cd {work.parent}/race && git pull --quiet && "
         "echo '{}' >> ledger.jsonl && echo 4 > ledger.jsonl.head && "
         "git commit --quiet --all -m more && git push --quiet")  # fmt: skip
    refused(work, "differs")
    assert len(counted(remote)) == 4


@pytest.mark.parametrize(
    "kind", ["shallow", "partial", "settings", "branch", "worktree", "linked folder", "environment"]
)
def test_checkouts_of_every_kind_are_counted(checkout, kind, monkeypatch):
    work, remote = checkout
    ledger, given = work / "ledger", {}
    if kind in ("shallow", "partial"):
        attempt_elsewhere(work, remote)
        shutil.rmtree(ledger)
        git("-C", remote, "config", "uploadpack.allowFilter", "true")
        words = ["--depth=1"] if kind == "shallow" else ["--filter=blob:none"]
        git("clone", "--quiet", *words, f"file://{remote}", ledger)
    elif kind == "settings":
        for name, value in {"push.default": "nothing", "push.followTags": "true", "remote.origin.push": "refs/tags/*",
                            "remote.pushDefault": "nowhere", "branch.faro-ledger.pushRemote": "nowhere",
                            "push.autoSetupRemote": "true", "fetch.prune": "true", "commit.gpgSign": "true",
                            "remote.origin.fetch": "+refs/heads/none:refs/remotes/origin/none"}.items():  # fmt: skip
            git("-C", ledger, "config", "--replace-all", name, value)
    elif kind == "branch":  # of another name here
        git("-C", ledger, "checkout", "--quiet", "-b", "local", "--track", "origin/faro-ledger")
    elif kind == "worktree":
        git("-C", ledger, "worktree", "add", "--quiet", "-b", "more", "--track", work / "more", "origin/faro-ledger")
        given = {"ledger": "more/ledger.jsonl"}
    else:
        ledger.rename(work / "elsewhere")
        (work / "ledger").symlink_to("elsewhere", target_is_directory=True)
    shown(work, remote, 3 if kind in ("shallow", "partial") else 2, **given)
    # in the same checkout
    shown(work, remote, 4 if kind in ("shallow", "partial") else 3, table="second.csv", **given)


def test_the_environment_does_not_lead_git_elsewhere(checkout):
    work, remote = checkout
    git("init", "--quiet", work / "project")
    (work / "ledger/ledger.jsonl").write_text('{"kind": "init"}\n{"kind": "attempt"}\n')
    (work / "ledger/ledger.jsonl.head").write_text("2\n")
    strange = {"GIT_DIR": str(work / "project/.git"), "GIT_INDEX_FILE": "x", "CDPATH": "/tmp"}
    command = (ROOT / "ci/push-ledger.sh", "ledger/ledger.jsonl")
    subprocess.run(command, cwd=work, env=os.environ | strange, check=True)
    assert len(counted(remote)) == 2


def test_only_the_ledger_goes_along_and_byte_for_byte(checkout):
    work, remote = checkout
    ledger = work / "ledger"
    (ledger / ".git/info").mkdir(exist_ok=True)
    (ledger / ".git/info/attributes").write_text("* text eol=crlf filter=shout ident\n")
    git("-C", ledger, "config", "filter.shout.clean", "tr a-z A-Z")
    git("-C", ledger, "config", "core.autocrlf", "input")
    (ledger / ".gitignore").write_text("*\n")
    (ledger / "staged").write_text("not yet\n")
    git("-C", ledger, "add", "--force", "staged", ".gitignore")
    hook(ledger / ".git", "pre-commit", "git add --force ledger.jsonl.seed")
    before = git("-C", ledger, "diff", "--cached", "--name-only")
    shown(work, remote, 2)
    assert git("-C", ledger, "diff", "--cached", "--name-only") == before
    names = git("-C", remote, "ls-tree", "-r", "--name-only", "faro-ledger").split()
    assert names == [".gitignore", "ledger.jsonl", "ledger.jsonl.head", "ledger.jsonl.units"]
    assert git("-C", remote, "show", "faro-ledger:.gitignore") == "*.seed\n"
    assert git("-C", remote, "show", "faro-ledger:ledger.jsonl") == (ledger / "ledger.jsonl").read_text()


@pytest.mark.parametrize("name", ["deep/er/ledger.jsonl", "odd name's $(x)/-led ger.jsonl"])
def test_a_ledger_in_a_folder_of_its_branch(checkout, name):
    work, remote = checkout
    ledger = work / "ledger"
    (ledger / name).parent.mkdir(parents=True)
    for end in ("", ".head", ".seed"):  # made before there were units
        (ledger / f"ledger.jsonl{end}").rename(ledger / f"{name}{end}")
    git("-C", ledger, "add", "--all")
    git("-C", ledger, "commit", "--quiet", "-m", "moved")
    git("-C", ledger, "push", "--quiet")
    ended, text, *_ = run_action(work, 0, ledger=f"ledger/{name}")
    assert (ended, "THE ANSWER" in text) == (0, True)
    assert len(counted(remote, name)) == 2
    assert f"{name}.units" not in git("-C", remote, "ls-tree", "-zr", "--name-only", "faro-ledger").split("\0")


def test_a_checkout_whose_line_endings_were_changed_shows_nothing(checkout):
    work, remote = checkout
    shutil.rmtree(work / "ledger")
    git("clone", "--quiet", "-c", "core.autocrlf=true", remote, work / "ledger")
    assert b"\r\n" in (work / "ledger/ledger.jsonl").read_bytes()
    refused(work, "changed on the way")


def seed_on_the_branch(work, ledger):
    git("-C", ledger, "add", "--force", "ledger.jsonl.seed")
    git("-C", ledger, "commit", "--quiet", "-m", "a mistake")
    git("-C", ledger, "push", "--quiet")


def outside(work, ledger):
    ledger.rename(work / "away")
    shutil.copytree(work / "away", ledger, ignore=lambda *_: [".git"])


def linked(work, ledger):
    ledger.rename(work / "true")
    ledger.mkdir()
    for name in ("ledger.jsonl", "ledger.jsonl.head"):
        (ledger / name).symlink_to(work / "true" / name)


def gone(work, ledger):
    git("-C", ledger, "rm", "--quiet", "--cached", "ledger.jsonl")
    git("-C", ledger, "commit", "--quiet", "-m", "gone")
    git("-C", ledger, "push", "--quiet")


def own_branch(work, ledger):
    git("-C", ledger, "checkout", "--quiet", "-b", "mine")


def local_branch(work, ledger):
    git("-C", ledger, "checkout", "--quiet", "-b", "mine", "--track", "faro-ledger")


def detached(work, ledger):
    git("-C", ledger, "checkout", "--quiet", "--detach")


def rewritten(work, ledger):
    (ledger / "ledger.jsonl").write_text('{"kind": "another beginning"}\n')


def no_head(work, ledger):
    (work.parent / "tools/faro").write_text(FARO.replace('> "$ledger.head"', "> /dev/null"))
    (ledger / "ledger.jsonl.head").unlink()


@pytest.mark.parametrize(
    ("change", "word"),
    [(seed_on_the_branch, "must be secret"), (outside, "not a git repository"), (linked, "is a link"),
     (gone, "has no ledger.jsonl"), (own_branch, "mine"), (local_branch, "follows a branch of this checkout"),
     (detached, "HEAD is detached"), (rewritten, "does not begin with"), (no_head, "no file ledger.jsonl.head")],
)  # fmt: skip
def test_checkouts_that_cannot_count_show_nothing(checkout, change, word):
    work, _ = checkout
    change(work, work / "ledger")
    for _ in range(2):  # nor when it is tried again
        refused(work, word)


# Inputs, and the other examples ---------------------------------------------------------------------------------------


def test_action_passes_inputs_on_as_they_are(checkout):
    work, _ = checkout
    strange = "a b; echo $(whoami).csv"
    run_action(
        work, 0, table=strange, models="one.json\ntwo two.safetensors\n", tables="mix=t.csv", **{"train-units": "u"}
    )
    words = (work / "called").read_text().splitlines()
    assert words[:2] == ["gate", strange]
    pairs = list(itertools.pairwise(words))
    for pair in (("--model", "one.json"), ("--model", "two two.safetensors"), ("--table", "mix=t.csv"),
                 ("--train-units", "u"), ("--policy", "faro.toml"), ("--ledger", "ledger/ledger.jsonl")):  # fmt: skip
        assert pair in pairs
    assert words.count("--model") == 2


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("broken", ["", "remote", "copy"])
def test_gitlab_job_does_the_same(checkout, code, broken):
    work, remote = checkout
    script = "\n".join(line for line in GITLAB["script"] if not line.startswith("git clone"))
    (work / ".faro").symlink_to(ROOT)
    if broken == "remote":
        shutil.rmtree(remote)
    if broken == "copy":
        script = script.replace("cp -R", "false")
    shell = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script], cwd=work, capture_output=True, text=True,
        env={"PATH": os.environ["PATH"], "CODE": str(code), "AUDIT_DATA": "x", "HOME": str(work),
             "GIT_CONFIG_GLOBAL": "/dev/null", "FARO_LEDGER_SEED": SEED},
    )  # fmt: skip
    assert ("THE ANSWER" in shell.stdout) == (not broken)
    assert (work / "faro-gate").exists() == (not broken)
    if not broken:
        assert shell.returncode == code
        assert len(counted(remote)) == 2
        assert (work / "seed").read_text() == f"{SEED}\n"
        assert (work / GITLAB["artifacts"]["reports"]["junit"]).exists()
    else:
        assert shell.returncode == 70


def test_examples_call_the_action_as_it_is():
    steps = GITHUB["jobs"]["gate"]["steps"]
    (gate,) = [step for step in steps if step.get("id") == "gate"]
    assert gate["uses"].startswith("OWNER/faro@")
    assert set(gate["with"]) <= set(ACTION["inputs"])
    needed = {name for name, spec in ACTION["inputs"].items() if spec.get("required")}
    assert needed <= set(gate["with"])
    folder = gate["with"].get("out", ACTION["inputs"]["out"]["default"])
    uploads = [step["with"] for step in steps if "upload" in step.get("uses", "")]
    assert {with_.get("path", with_.get("sarif_file")) for with_ in uploads} == {folder, f"{folder}/faro.sarif"}
    assert all("OWNER" in words for step in steps for words in [step.get("run", "OWNER")])
    assert GITHUB["concurrency"]["cancel-in-progress"] is False
    assert GITLAB["resource_group"]
