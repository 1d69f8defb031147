#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| poq_worker_fuzz::request(bytes));
