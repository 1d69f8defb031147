//! A network that takes token ids: its inputs and its output, and running it over a batch.

use super::texts::Row;
use crate::{
    models::manifest::{EvaluatorKind, Manifest},
    onnx,
};
use ort::{
    environment::Environment,
    ep::{ArbitrarilyConfigurableExecutionProvider as _, OpenVINO},
    inputs,
    session::{
        builder::GraphOptimizationLevel, HasSelectedOutputs, OutputSelector, RunOptions, Session,
        SessionInputValue,
    },
    value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType},
};
use serde_json::json;
use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Output of a network for a batch.
pub(super) struct Output<'a> {
    pub shape: &'a [usize],
    /// Row by row.
    pub values: &'a [f32],
}

/// The part of ONNX Runtime that runs a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Provider {
    /// ONNX Runtime's own, with the file's arithmetic.
    Cpu,
    /// OpenVINO with bf16.
    OpenVino,
}

/// Tokens of whose multiple a row's length is where OpenVINO runs it. Each new shape costs it a multiple of a run's time,
/// and this leaves few of them.
const OPENVINO_STEP: usize = 32;

/// An ONNX file of one operation: 16-bit floats of any shape, `narrow`, become 32-bit ones, `wide`.
const WIDEN: &[u8] = include_bytes!("widen.onnx");

/// A loaded network.
#[derive(Debug)]
pub(super) struct Network {
    /// ONNX Runtime wants one run at a time per session.
    running: Mutex<Running>,
    output: String,
    /// Tokens of whose multiple the length of a batch is.
    step: usize,
    /// Most tokens of a row.
    most_tokens: usize,
}

/// The session and the memory that its inputs are laid out in, kept from one run to the next.
struct Running {
    session: Session,
    /// Makes 32-bit floats of an output of 16-bit ones.
    widen: Option<Session>,
    /// Asks for the one output: what no score needs is not computed.
    options: RunOptions<HasSelectedOutputs>,
    columns: Vec<Column>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("session", &self.session).finish_non_exhaustive()
    }
}

struct Column {
    input: Input,
    numbers: Numbers,
}

/// Numbers as the network wants them.
enum Numbers {
    Wide(Vec<i64>),
    Narrow(Vec<i32>),
}

/// The inputs that the engine can feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    Ids,
    Mask,
    Types,
    Positions,
}

impl Input {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            "position_ids" => Some(Self::Positions),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Types => "token_type_ids",
            Self::Positions => "position_ids",
        }
    }

    /// The numbers of `row`, filled up to `longest`.
    fn numbers(self, row: &Row, longest: usize, padding: u32) -> impl Iterator<Item = u32> + '_ {
        let (own, fill): (&[u32], u32) = match self {
            Self::Ids => (&row.ids, padding),
            Self::Mask | Self::Positions => (&[], 0),
            Self::Types => (&row.types, 0),
        };
        let tokens = if self == Self::Mask { row.len() } else { 0 };
        // No row comes near the 32 bits.
        let places = if self == Self::Positions { u32::try_from(row.len()).unwrap_or(u32::MAX) } else { 0 };
        let numbers = own.iter().copied().chain(std::iter::repeat_n(1, tokens)).chain(0..places);
        numbers.chain(std::iter::repeat(fill)).take(longest)
    }
}

impl Column {
    fn fill(&mut self, rows: &[&Row], longest: usize, padding: u32) {
        let input = self.input;
        let numbers = rows.iter().flat_map(|row| input.numbers(row, longest, padding));
        match &mut self.numbers {
            Numbers::Wide(wide) => {
                wide.clear();
                wide.extend(numbers.map(i64::from));
            }
            Numbers::Narrow(narrow) => {
                narrow.clear();
                // No vocabulary comes near the 31 bits.
                narrow.extend(numbers.map(|number| i32::try_from(number).unwrap_or(i32::MAX)));
            }
        }
    }

    fn tensor(&self, shape: [usize; 2]) -> ort::Result<SessionInputValue<'_>> {
        Ok(match &self.numbers {
            Numbers::Wide(wide) => TensorRef::from_array_view((shape, wide.as_slice()))?.into(),
            Numbers::Narrow(narrow) => TensorRef::from_array_view((shape, narrow.as_slice()))?.into(),
        })
    }
}

impl Network {
    /// Loads the network of `manifest` from the file `model` and sees that it has the inputs and the output of such an
    /// evaluator. Errors are one line for people.
    pub fn load(
        environment: &Environment,
        model: &Path,
        manifest: &Manifest,
        threads: usize,
        provider: Provider,
    ) -> Result<Self, String> {
        let loads = |error: ort::Error| format!("ONNX Runtime does not load it: {}", onnx::one_line(&error));
        let session = open_session(environment, model, threads, provider).map_err(loads)?;
        let columns = session.inputs().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|column| column.input == Input::Ids) {
            return Err("has no input 'input_ids'".to_owned());
        }
        let (output, half) = output_of(&session, manifest)?;
        let widen = half.then(|| Session::builder(environment)?.commit_from_memory(WIDEN));
        let widen = widen.transpose().map_err(loads)?;
        let options = RunOptions::new()
            .map_err(loads)?
            .with_outputs(OutputSelector::no_default().with(output.as_str()));
        let step = if provider == Provider::OpenVino { OPENVINO_STEP } else { 1 };
        let running = Mutex::new(Running { session, widen, options, columns });
        Ok(Self { running, output, step, most_tokens: manifest.max_tokens })
    }

    /// Runs `rows` as one batch, padded to one length, and returns what `read` makes of the output.
    pub fn run<T>(
        &self,
        rows: &[&Row],
        padding: u32,
        read: impl FnOnce(Output<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or_default();
        let longest = padded(longest, self.step, self.most_tokens);
        let fails = |error: ort::Error| format!("ONNX Runtime: {}", onnx::one_line(&error));
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { session, widen, options, columns } = &mut *running;
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(columns.len());
        for column in columns.iter_mut() {
            column.fill(rows, longest, padding);
            let tensor = column.tensor([rows.len(), longest]).map_err(fails)?;
            inputs.push((Cow::Borrowed(column.input.name()), tensor));
        }
        let outputs = session.run_with_options(inputs, &*options).map_err(fails)?;
        let output = outputs.get(&self.output).ok_or("ONNX Runtime gives no output")?;
        let Some(widen) = widen else { return read_floats(output, read) };
        let widened = widen.run(inputs![output]).map_err(fails)?;
        read_floats(widened.get("wide").ok_or("ONNX Runtime gives no output")?, read)
    }
}

fn read_floats<T>(
    output: &DynValue,
    read: impl FnOnce(Output<'_>) -> Result<T, String>,
) -> Result<T, String> {
    let (shape, values) = output
        .try_extract_tensor::<f32>()
        .map_err(|error| format!("ONNX Runtime: {}", onnx::one_line(&error)))?;
    let shape: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
    read(Output { shape: &shape, values })
}

/// `longest` rounded up to a multiple of `step`, but not above `most` unless it was.
fn padded(longest: usize, step: usize, most: usize) -> usize {
    longest.checked_next_multiple_of(step).unwrap_or(longest).min(most.max(longest))
}

fn open_session(
    environment: &Environment,
    model: &Path,
    threads: usize,
    provider: Provider,
) -> ort::Result<Session> {
    let mut builder = Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_intra_op_spinning(false)?
        // Costs nothing that could be measured with MiniLM.
        .with_deterministic_compute(true)?;
    match provider {
        Provider::Cpu => builder.commit_from_file(model),
        Provider::OpenVino => builder
            .with_execution_providers([openvino(threads).build().error_on_failure()])?
            .commit_from_file(model),
    }
}

/// OpenVINO on the processor: bf16, one run at a time, threads that the kernel may move, because several models' processes
/// pinned to the same cores would wait for each other.
fn openvino(threads: usize) -> OpenVINO {
    let cpu = json!({"CPU": {
        "INFERENCE_PRECISION_HINT": "bf16",
        "INFERENCE_NUM_THREADS": threads.to_string(),
        "NUM_STREAMS": "1",
        "ENABLE_CPU_PINNING": "NO",
    }});
    OpenVINO::default().with_device_type("CPU").with_arbitrary_config("load_config", cpu)
}

fn column(outlet: &Outlet) -> Result<Column, String> {
    let name = outlet.name();
    let input = Input::by_name(name).ok_or_else(|| {
        format!("wants the input '{name}'; an evaluator takes input_ids, attention_mask, token_type_ids and position_ids")
    })?;
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(format!("wants '{name}' as something that is no tensor"));
    };
    if shape.iter().any(|size| *size >= 0) {
        return Err(format!(
            "takes '{name}' in one size only, {shape:?}; export it with dynamic axes for batch and sequence"
        ));
    }
    let numbers = match ty {
        TensorElementType::Int64 => Numbers::Wide(Vec::new()),
        TensorElementType::Int32 => Numbers::Narrow(Vec::new()),
        other => {
            return Err(format!("wants '{name}' as {other:?}; the engine feeds integers of 64 or 32 bits"))
        }
    };
    Ok(Column { input, numbers })
}

/// The output that such an evaluator is about: the one of a usual name, or else the first. Also whether its numbers have
/// 16 bits.
fn output_of(session: &Session, manifest: &Manifest) -> Result<(String, bool), String> {
    let usual: &[&str] = match manifest.kind {
        EvaluatorKind::BiEncoder => &["sentence_embedding", "last_hidden_state", "token_embeddings"],
        EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => &["logits"],
    };
    let outputs = session.outputs();
    let named = usual.iter().find_map(|name| outputs.iter().find(|output| output.name() == *name));
    let output = named.or(outputs.first()).ok_or("has no output")?;
    let half = match output.dtype() {
        ValueType::Tensor { ty: TensorElementType::Float32, .. } => false,
        ValueType::Tensor { ty: TensorElementType::Float16, .. } => true,
        other => {
            return Err(format!(
                "gives '{}' as {}; the engine reads floats of 32 or 16 bits",
                output.name(),
                onnx::one_line(other)
            ));
        }
    };
    let ValueType::Tensor { shape, .. } = output.dtype() else { return Err("has no output".to_owned()) };
    let labels = manifest.classes.as_ref().map(|classes| classes.labels.len());
    check_shape(manifest.kind, labels, shape).map(|()| (output.name().to_owned(), half))
}

/// Refuses a shape that no evaluator of this kind has; `labels` is the number that the manifest names. A size that the
/// graph leaves open is negative; no sizes at all are an unknown shape.
fn check_shape(kind: EvaluatorKind, labels: Option<usize>, shape: &[i64]) -> Result<(), String> {
    let fits = |classes: i64| match labels {
        Some(labels) => classes < 0 || usize::try_from(classes) == Ok(labels),
        None => classes < 3,
    };
    match (kind, shape) {
        (_, []) | (EvaluatorKind::BiEncoder, [_, _] | [_, _, _]) => Ok(()),
        (EvaluatorKind::CrossEncoder, [_]) if labels.is_none() => Ok(()),
        (EvaluatorKind::CrossEncoder, [_, classes]) if fits(*classes) => Ok(()),
        (EvaluatorKind::CrossEncoder, [_, classes]) => Err(match labels {
            Some(labels) => format!("gives {classes} numbers for a pair, and poq.json names {labels} labels"),
            None => format!(
                "gives {classes} numbers for a pair; a cross-encoder gives one logit or two classes (no, yes), or \
                 poq.json names its labels and the one that counts (\"classes\")"
            ),
        }),
        (EvaluatorKind::CrossEncoder, [_]) => {
            Err("gives one number for a pair, and poq.json names several labels".to_owned())
        }
        (EvaluatorKind::CrossEncoder, _) => {
            Err("gives numbers for each token; if it is a bi-encoder, its poq.json has to say \"kind\": \"bi_encoder\"".to_owned())
        }
        (EvaluatorKind::BiEncoder, _) => {
            Err(format!("gives numbers of shape {shape:?}; a bi-encoder gives a vector for a text, or for each of its tokens"))
        }
        (EvaluatorKind::Causal | EvaluatorKind::Classifier, _) => {
            Err("is an ONNX file; an evaluator of kind causal or classifier is a GGUF file".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_checked() {
        use EvaluatorKind::{BiEncoder, CrossEncoder};
        for shape in [&[][..], &[-1], &[-1, 1], &[-1, 2], &[-1, -1]] {
            assert_eq!(check_shape(CrossEncoder, None, shape), Ok(()), "{shape:?}");
        }
        assert!(check_shape(CrossEncoder, None, &[-1, 3]).unwrap_err().contains("3 numbers"));
        assert!(check_shape(CrossEncoder, None, &[-1, -1, 384]).unwrap_err().contains("bi_encoder"));
        for shape in [&[][..], &[-1, 3], &[-1, -1]] {
            assert_eq!(check_shape(CrossEncoder, Some(3), shape), Ok(()), "{shape:?}");
        }
        for shape in [&[-1][..], &[-1, 1], &[-1, 2], &[-1, 4], &[-1, -1, 3]] {
            assert!(check_shape(CrossEncoder, Some(3), shape).is_err(), "{shape:?}");
        }
        for shape in [&[][..], &[-1, 384], &[-1, -1, 384]] {
            assert_eq!(check_shape(BiEncoder, None, shape), Ok(()), "{shape:?}");
        }
        for shape in [&[-1][..], &[1, 1, 1, 1]] {
            assert!(check_shape(BiEncoder, None, shape).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn few_lengths_are_left_and_none_is_too_long() {
        let lengths = [(1, 32), (32, 32), (33, 64), (511, 512), (512, 512), (0, 0)];
        for (longest, expected) in lengths {
            assert_eq!(padded(longest, 32, 512), expected);
            assert_eq!(padded(longest, 1, 512), longest);
        }
        assert_eq!(padded(97, 32, 100), 100);
        assert_eq!(padded(usize::MAX, 32, 100), usize::MAX);
    }

    #[test]
    fn rows_are_filled_up_to_the_longest() {
        let row = Row { ids: vec![7, 8], types: vec![0, 1] };
        let numbers = |input: Input| input.numbers(&row, 4, 9).collect::<Vec<_>>();
        assert_eq!(numbers(Input::Ids), [7, 8, 9, 9]);
        assert_eq!(numbers(Input::Mask), [1, 1, 0, 0]);
        assert_eq!(numbers(Input::Types), [0, 1, 0, 0]);
        assert_eq!(numbers(Input::Positions), [0, 1, 0, 0]);
    }
}
