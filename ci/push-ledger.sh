#!/usr/bin/env bash
# push-ledger.sh LEDGER: puts the ledger on its branch and ends with 0 only if the branch then has it, byte for byte.
# It ends with 70 otherwise, whatever went wrong: nobody may be told an answer that is not counted.
#
# The new entries go on top of the branch as the remote has it now, whatever this checkout has: nothing else that is
# staged or committed here goes along, no filter or line ending changes a byte, and a failed push leaves nothing that the
# next try could take for done. A ledger that does not begin with the remote's is refused: another attempt was counted.
set -euo pipefail
unset CDPATH GIT_DIR GIT_WORK_TREE GIT_COMMON_DIR GIT_INDEX_FILE GIT_NAMESPACE GIT_PREFIX
unset GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES FARO_LEDGER_SEED
export GIT_TERMINAL_PROMPT=0 GIT_NO_REPLACE_OBJECTS=1

ledger=${1:?the ledger}
scratch=$(mktemp -d)
end() {
  local code=$?
  rm -rf "$scratch"
  [ "$code" = 0 ] && exit 0
  echo "faro: no answer, for its attempt is not counted: the ledger is not on its branch" >&2
  exit 70
}
trap end EXIT

fail() {
  echo "faro: $ledger: $*" >&2
  exit 70
}

name=$(basename -- "$ledger")
cd -P -- "$(dirname -- "$ledger")"
files=("$name" "$name.head")
if [ -e "$name.units" ]; then files+=("$name.units"); fi
for file in "${files[@]}"; do
  if [ -L "$file" ]; then fail "$file is a link, which git would push in place of the file; name the file itself"; fi
  if [ ! -f "$file" ]; then fail "there is no file $file"; fi
done

at=$(git symbolic-ref --quiet HEAD) || fail "HEAD is detached; check out the branch of the ledger, not a commit"
branch=${at#refs/heads/}
remote=$(git config "branch.$branch.remote" || echo origin)
ref=$(git config "branch.$branch.merge" || echo "$at")
if [ "$remote" = . ]; then fail "$branch follows a branch of this checkout; check out the ledger's own branch"; fi
folder=$(git rev-parse --show-prefix)

look() { # tip: the branch as the remote has it now
  git fetch --quiet --no-tags --no-recurse-submodules "$remote" "+$ref:refs/faro/ledger"
  tip=$(git rev-parse --verify --quiet "refs/faro/ledger^{commit}")
}

look
if git cat-file -e "$tip:$folder$name.seed" 2>/dev/null; then
  fail "$ref of $remote has $name.seed, which must be secret: the audit set is spoilt, make a new one"
fi
git cat-file blob "$tip:$folder$name" >"$scratch/counted" 2>/dev/null ||
  fail "$ref of $remote has no $folder$name; push the new ledger there by hand, once, before any attempt"
head -c "$(wc -c <"$scratch/counted")" -- "$name" | cmp -s - "$scratch/counted" ||
  fail "it does not begin with that on $ref of $remote: another attempt was counted, or a line was changed on the way; run again in a new checkout"

export GIT_INDEX_FILE="$scratch/index" # that of the checkout keeps what is staged there
git read-tree "$tip"
for file in "${files[@]}"; do
  blob=$(git hash-object -w --no-filters -- "$file")
  git update-index --add --cacheinfo "100644,$blob,$folder$file"
done
tree=$(git write-tree --missing-ok) # a partial clone lacks what it does not show
unset GIT_INDEX_FILE
commit=$tip
if [ "$tree" != "$(git rev-parse "$tip^{tree}")" ]; then
  commit=$(git -c user.name=faro -c user.email=faro@users.noreply.github.com commit-tree -p "$tip" -m "Ledger: an attempt" "$tree")
fi
git push --quiet --no-follow-tags --recurse-submodules=no "$remote" "$commit:$ref"

look
for file in "${files[@]}"; do
  git cat-file blob "$tip:$folder$file" | cmp -s - "./$file" ||
    fail "$file differs from that on $ref of $remote after the push; run again in a new checkout"
done
