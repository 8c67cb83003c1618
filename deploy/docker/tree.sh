#!/bin/sh
# Installs headgate into an environment of its own, from wheels alone, with the versions of
# server/constraints.txt: what the image holds. Run it from the root of the repository.
# Usage: deploy/docker/tree.sh FOLDER [PYTHON]
set -eu
folder=$1
python=${2:-python3}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT

pip() {
  "$python" -m pip --disable-pip-version-check --quiet "$@"
}

# Only headgate's own wheel is built here; what builds it obeys the pins, too.
PIP_CONSTRAINT=server/constraints.txt pip wheel --no-deps --wheel-dir "$wheels" .
"$python" -m venv --without-pip "$folder"
pip --python "$folder/bin/python" install --only-binary :all: --compile \
  --constraint server/constraints.txt "$wheels"/*.whl

# Symbols for debuggers, and sources that nothing reads at run time: a fifth of the size.
find "$folder" -name '*.so*' -type f -exec strip --strip-unneeded {} +
find "$folder" -type f \( -name '*.c' -o -name '*.h' -o -name '*.pxd' -o -name '*.pyx' \) -delete
