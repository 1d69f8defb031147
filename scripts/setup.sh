#!/usr/bin/env bash
# Installs the tools that a build needs. A second run changes nothing. The script prints each thing that it installs.
#
#   1. tools of the operating system (compilers, protoc, …), by apt where there is apt
#   2. Rust's target wasm32v1-none, for the runtime
#   3. ONNX Runtime's shared library, for the engine
#
# POQ_CACHE  folder of the tools that checkouts share (default: ~/.cache/proof-of-quality)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cache="${POQ_CACHE:-$HOME/.cache/proof-of-quality}"
# Variables of this machine for the Makefile, in a syntax that sh and make share.
env_file="$cache/env.sh"
env_lines=()
wasm_target=wasm32v1-none
# rustup's name for Debian's second compiler, on machines that need it.
debian_toolchain=wasm-debian

say() { echo "setup: $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

as_root() {
    if [[ "$(id -u)" == 0 ]]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        fail "this needs root and there is no sudo: $*"
    fi
}

apt_install() {
    say "installing packages: $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    as_root apt-get update >/dev/null 2>&1 || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >"$cache/apt.log" 2>&1 ||
        fail "apt-get install $* failed; the reason is in $cache/apt.log"
}

# ---------------------------------------------------------------- 1. tools

libclang_is_there() {
    { ldconfig -p 2>/dev/null | grep -q 'libclang[-.]'; } || compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null ||
        [[ "$(uname)" == Darwin ]]
}

install_tools() {
    local missing=()
    have clang || missing+=(clang)
    libclang_is_there || missing+=(libclang-dev)
    have cmake || missing+=(cmake)
    have protoc || missing+=(protobuf-compiler)
    have pkg-config || missing+=(pkg-config)
    have c++ || missing+=(g++)
    have make || missing+=(make)
    if [[ ! -e "$cache/onnxruntime/libonnxruntime.so" ]]; then
        python3 -m pip --version >/dev/null 2>&1 || missing+=(python3 python3-pip)
    fi
    # For `make chaos`, its short run in the tests, and the walks through the documents.
    if [[ "$(uname)" == Linux && "$(id -u)" == 0 ]]; then
        have ip || missing+=(iproute2)
        have faketime || missing+=(faketime)
        # A real server for the tests of `poq-history`.
        compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    fi
    ((${#missing[@]} == 0)) && return
    have apt-get || fail "please install what these Debian packages hold: ${missing[*]}"
    apt_install "${missing[@]}"
}

# ---------------------------------------------------------------- 2. the Wasm target

# Whether the compiler `rustc …` can build for the target.
can_build_wasm() {
    local sysroot
    sysroot="$("$@" --print sysroot 2>/dev/null)" &&
        compgen -G "$sysroot/lib/rustlib/$wasm_target/lib/libcore-*.rlib" >/dev/null
}

install_wasm_target() {
    if can_build_wasm rustc; then
        return
    fi
    if have rustup && can_build_wasm rustc "+$debian_toolchain"; then
        use_debian_toolchain
        return
    fi
    if have rustup; then
        say "adding Rust's target $wasm_target"
        if rustup target add "$wasm_target" >"$cache/rustup.log" 2>&1 && can_build_wasm rustc; then
            return
        fi
    fi
    build_wasm_target_with_debians_compiler
    use_debian_toolchain
}

use_debian_toolchain() {
    # A toolchain file that asks for a target must not make rustup try to download it.
    env_lines+=("WASM_BUILD_TOOLCHAIN=$debian_toolchain" "RUSTUP_AUTO_INSTALL=0")
}

# For machines on which rustup can download nothing: builds the target's `core` and `alloc` from the sources of a second,
# complete compiler, which Debian carries.
build_wasm_target_with_debians_compiler() {
    local reason="rustup cannot add $wasm_target (see $cache/rustup.log)"
    have rustup || fail "there is neither $wasm_target nor rustup; get it from https://rustup.rs"
    [[ "$(uname -sm)" == "Linux x86_64" ]] || fail "$reason; on this machine that is the only way"
    have apt-cache || fail "$reason, and there is no apt to get another compiler with"
    apt-cache show rustc-web >/dev/null 2>&1 || as_root apt-get update >/dev/null 2>&1 || true
    apt-cache show rustc-web >/dev/null 2>&1 || fail "$reason, and Debian's rustc-web is not on offer here"

    say "$reason; building it with Debian's rustc-web instead"
    apt_install rustc-web cargo-web libstd-rust-web-dev rust-web-src
    local llvm
    llvm="$(/usr/bin/rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')"
    # The linker has to match the compiler's LLVM.
    apt_install "lld-$llvm"
    local rustlib=/usr/lib/rustlib
    as_root mkdir -p "$rustlib/x86_64-unknown-linux-gnu/bin" "$rustlib/$wasm_target/lib"
    as_root ln -sf "/usr/lib/llvm-$llvm/bin/lld" "$rustlib/x86_64-unknown-linux-gnu/bin/rust-lld"

    if ! compgen -G "$rustlib/$wasm_target/lib/libcore-*.rlib" >/dev/null; then
        build_core_and_alloc "$rustlib/$wasm_target/lib"
    fi

    local toolchain="${XDG_DATA_HOME:-$HOME/.local/share}/poq-wasm-toolchain"
    mkdir -p "$toolchain/bin"
    ln -sfn /usr/lib "$toolchain/lib"
    for tool in cargo rustc rustdoc; do
        ln -sf "/usr/bin/$tool" "$toolchain/bin/$tool"
    done
    rustup toolchain link "$debian_toolchain" "$toolchain"
    can_build_wasm rustc "+$debian_toolchain" || fail "the compiler that was just set up does not know $wasm_target"
}

# Runs in a subshell, so that its folder is removed in any case.
build_core_and_alloc() (
    target_lib="$1"
    crate="$(mktemp -d)"
    trap 'rm -rf "$crate"' EXIT
    mkdir "$crate/src"
    cat >"$crate/Cargo.toml" <<'TOML'
[package]
name = "std-for-wasm"
version = "0.0.0"
edition = "2021"

[lib]
crate-type = ["cdylib"]

[profile.release]
lto = "fat"
panic = "abort"
TOML
    cat >"$crate/src/lib.rs" <<'RUST'
#![no_std]

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
RUST
    # The runtime is linked with LTO, which needs bitcode in the library.
    (cd "$crate" && env -u CARGO_BUILD_TARGET PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Cembed-bitcode=yes" \
        /usr/bin/cargo build --release --target "$wasm_target" --target-dir target -Zbuild-std=core,alloc) \
        >"$cache/wasm-std.log" 2>&1 || fail "building core and alloc failed; the reason is in $cache/wasm-std.log"
    as_root cp "$crate/target/$wasm_target/release/deps/"lib{core,alloc,compiler_builtins}-*.rlib "$target_lib/"
    # Artefacts that were compiled against another build of these libraries do not link any more.
    rm -rf "${CARGO_TARGET_DIR:-$cache/target}"/*/wbuild
)

# ---------------------------------------------------------------- what this processor can do

# llama.cpp is built for x86-64 processors since 2013 (.cargo/config.toml), and for further instructions of this processor, as in
# llama.cpp's own build. POQ_PORTABLE=1 leaves these out, for programs that go to other machines.
use_processor() {
    [[ -z "${POQ_PORTABLE:-}" && -r /proc/cpuinfo ]] || return 0
    local flags
    flags=" $(sed -n 's/^flags[^:]*: //p' /proc/cpuinfo | head -n 1) "
    # llama.cpp's AVX-512 code needs all of these.
    for flag in avx512f avx512cd avx512vl avx512dq avx512bw; do
        [[ "$flags" == *" $flag "* ]] || return 0
    done
    env_lines+=(GGML_AVX512=ON)
    [[ "$flags" != *" avx512vbmi "* ]] || env_lines+=(GGML_AVX512_VBMI=ON)
    [[ "$flags" != *" avx512_vnni "* ]] || env_lines+=(GGML_AVX512_VNNI=ON)
    [[ "$flags" != *" avx512_bf16 "* ]] || env_lines+=(GGML_AVX512_BF16=ON)
}

# Writes the file. Cargo looks at the variables, not at the age of the file, so nothing is built again because of it.
write_env() {
    if ((${#env_lines[@]} == 0)); then
        rm -f "$env_file"
        return
    fi
    printf 'export %s\n' "${env_lines[@]}" >"$env_file.new"
    mv "$env_file.new" "$env_file"
}

# ---------------------------------------------------------------- all of it

mkdir -p "$cache"
have cargo || fail "Rust is missing; get it from https://rustup.rs"
install_tools
install_wasm_target
use_processor
write_env
"$here/setup-onnxruntime.sh" >"$cache/onnxruntime.log" 2>&1 || fail "ONNX Runtime: $(tail -n 1 "$cache/onnxruntime.log")"
have cargo-nextest ||
    say "tests run with plain 'cargo test'; 'cargo install cargo-nextest --locked' would make them faster and easier to read"
say "all there"
