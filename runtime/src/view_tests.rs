//! View functions answer whatever bytes a stranger sends: with a value or an error, never with a trap.

use crate::{genesis_presets::tests::state_of, AccountId, Runtime};
use codec::{Decode, Encode};
use frame_metadata::{RuntimeMetadata, RuntimeMetadataPrefixed};
use frame_support::view_functions::ViewFunctionId;
use pallet_proof_of_quality::{EconomicParameters, ModelId, ModelView, Models, ParametersOf, MOST_ON_A_PAGE};
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET};
use sp_io::hashing::blake2_256;

/// Inputs that each function is called with.
const TRIES: u64 = 4_000;

/// Longest of these inputs, in bytes: longer than the arguments of any function.
const LONGEST: usize = 400;

const EXTREMES: [u32; 5] = [0, 1, 1_000_001, i32::MAX as u32, u32::MAX];

/// The pallet's view functions: name and id.
fn functions() -> Vec<(String, ViewFunctionId)> {
    let metadata = Runtime::metadata_at_version(16).unwrap();
    let RuntimeMetadataPrefixed(_, metadata) = RuntimeMetadataPrefixed::decode(&mut &metadata[..]).unwrap();
    let RuntimeMetadata::V16(metadata) = metadata else { panic!("not of version 16") };
    let pallet = metadata.pallets.into_iter().find(|pallet| pallet.name == "ProofOfQuality").unwrap();
    let ids = pallet.view_functions.into_iter().map(|function| {
        let (prefix, suffix) = function.id.split_at(16);
        let half = |bytes: &[u8]| bytes.try_into().unwrap();
        (function.name, ViewFunctionId { prefix: half(prefix), suffix: half(suffix) })
    });
    ids.collect()
}

fn call(name: &str, input: &[u8]) -> Option<Vec<u8>> {
    let (_, id) = functions().into_iter().find(|(other, _)| *other == name).unwrap();
    Runtime::execute_view_function(id, input.to_vec()).ok()
}

fn on_chain(test: impl FnOnce()) {
    state_of(&PresetId::from(DEV_RUNTIME_PRESET)).execute_with(test);
}

/// Bytes for try `number`: mostly those that lengths, options and numbers at their edges begin with.
fn bytes(number: u64) -> Vec<u8> {
    let mut random = number.encode();
    let mut next = move || {
        random = blake2_256(&random).to_vec();
        random.clone()
    };
    let length = usize::from(u16::from_le_bytes([next()[0], next()[1]])) % LONGEST;
    let pick = |block: Vec<u8>| match block[0] % 6 {
        0 => vec![0; 1 + usize::from(block[1]) % 40],
        1 => vec![0xff; 1 + usize::from(block[1]) % 40],
        2 => vec![4],
        3 => vec![1],
        4 => 1_000_001u32.encode(),
        _ => block,
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| pick(next())).take(16).flatten().collect();
    bytes.truncate(length);
    bytes
}

#[test]
fn no_bytes_trap_a_view_function() {
    on_chain(|| {
        let functions = functions();
        assert!(functions.len() >= 7, "{functions:?}");
        let mut understood = 0;
        for (_, id) in &functions {
            for input in (0..TRIES).map(bytes).chain([Vec::new(), vec![0xff; LONGEST]]) {
                understood += usize::from(Runtime::execute_view_function(id.clone(), input).is_ok());
            }
        }
        assert!(understood > 0, "some inputs are arguments");
    });
}

#[test]
fn numbers_out_of_range_are_errors_of_the_estimate() {
    on_chain(|| {
        let models: Vec<ModelId> = Models::<Runtime>::iter_keys().collect();
        assert!(models.len() > 1);
        for max_tokens in EXTREMES {
            for responders in EXTREMES {
                for committee in EXTREMES {
                    for evaluator in &models {
                        let numbers = (max_tokens, responders, committee);
                        let answer =
                            call("estimate_budget", &(&models, evaluator, numbers).encode()).unwrap();
                        assert_eq!(answer[0], 1, "an error, whatever the model: {numbers:?}");
                    }
                }
            }
        }
    });
}

#[test]
fn parameters_that_are_no_fractions_are_not_understood_and_the_rest_is_checked() {
    on_chain(|| {
        let good: ParametersOf<Runtime> = EconomicParameters::<Runtime>::get();
        let encoded = good.encode();
        assert_eq!(call("check_parameters", &encoded).unwrap(), [0]);
        for at in 0..encoded.len() {
            let mut bent = encoded.clone();
            bent[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff);
            // Not understood, or checked; what matters is that there is an answer.
            if let Some(answer) = call("check_parameters", &bent) {
                assert!(answer[0] <= 1, "a result: {answer:?}");
            }
        }
    });
}

#[test]
fn pages_have_an_end_wherever_they_begin() {
    on_chain(|| {
        for count in EXTREMES {
            for after in [None, Some([0u8; 32]), Some([0xff; 32])] {
                let operators = call("operators", &(after, count).encode()).unwrap();
                let operators = Vec::<AccountId>::decode(&mut &operators[..]).unwrap();
                assert!(operators.len() <= count.min(MOST_ON_A_PAGE) as usize, "{after:?} {count}");
                let models = call("models", &(after, count).encode()).unwrap();
                let models = Vec::<ModelView<Runtime>>::decode(&mut &models[..]).unwrap();
                assert!(models.len() <= count.min(MOST_ON_A_PAGE) as usize, "{after:?} {count}");
            }
        }
    });
}
