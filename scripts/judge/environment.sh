# shellcheck shell=bash
# Read by judge.sh and test.sh: puts weights and Python packages in place and sets $python. Doing it twice does it once.

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
python="${PYTHON:-python3}"
export POQ_CACHE="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
folder="$POQ_CACHE/judge"
packages="$folder/python"

fail() {
    echo "judge: $*" >&2
    exit 1
}

# The packages are made for one version of Python.
recipe() {
    "$python" -c 'import sys; print(sys.version_info[:2])'
    cat "$here/requirements.txt"
}

in_place() { [[ -f "$packages/recipe" ]] && recipe | cmp -s - "$packages/recipe"; }

# The weights to start from; this also puts pip in place where it is missing.
"$here/../setup-minilm.sh" >&2

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old; install Python 3.11 or newer, or name one in PYTHON"
mkdir -p "$folder"
if ! in_place; then
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$folder/lock"
        flock 9
    fi
    if ! in_place; then
        echo "judge: installing Python packages (2 GiB to load, 5 GiB on disk) in $packages" >&2
        rm -rf "$packages" "$packages.part"
        # Without a cache: the wheels are as large as what is installed.
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --no-cache-dir --only-binary=:all: \
            --no-compile --target "$packages.part" --requirement "$here/requirements.txt" >"$folder/pip.log" 2>&1 ||
            fail "pip install failed; the reason is in $folder/pip.log"
        recipe >"$packages.part/recipe"
        mv "$packages.part" "$packages"
    fi
    exec 9>&-
fi

threads="${POQ_JUDGE_THREADS:-1}"
[[ "$threads" =~ ^[1-9][0-9]*$ ]] || fail "POQ_JUDGE_THREADS is '$threads'; it has to be a number of threads, 1 or more"
# Threads that spin while they wait take the cores of other programs.
export OMP_NUM_THREADS="$threads" OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 TOKENIZERS_PARALLELISM=false
export PYTHONPATH="$packages" PYTHONUNBUFFERED=1 PYTHONHASHSEED=0
