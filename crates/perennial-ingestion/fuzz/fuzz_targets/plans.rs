#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| perennial_ingestion::checks::plans(bytes));
