//! A network that takes token ids: its inputs and its output, and running it over a batch.

use super::texts::Row;
use crate::{models::manifest::EvaluatorKind, onnx};
use ort::{
    environment::Environment,
    session::{
        builder::GraphOptimizationLevel, HasSelectedOutputs, OutputSelector, RunOptions, Session,
        SessionInputValue,
    },
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// What a network gives for a batch.
pub(super) struct Output<'a> {
    pub shape: &'a [usize],
    /// Row by row.
    pub values: &'a [f32],
}

/// A loaded network.
#[derive(Debug)]
pub(super) struct Network {
    /// ONNX Runtime wants one run at a time per session.
    running: Mutex<Running>,
    output: String,
}

/// The session and the memory that its inputs are laid out in, kept from one run to the next.
struct Running {
    session: Session,
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
}

impl Input {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ids => "input_ids",
            Self::Mask => "attention_mask",
            Self::Types => "token_type_ids",
        }
    }

    /// The numbers of `row`, filled up to `longest`.
    fn numbers(self, row: &Row, longest: usize, padding: u32) -> impl Iterator<Item = u32> + '_ {
        let (own, fill): (&[u32], u32) = match self {
            Self::Ids => (&row.ids, padding),
            Self::Mask => (&[], 0),
            Self::Types => (&row.types, 0),
        };
        let tokens = if self == Self::Mask { row.len() } else { 0 };
        let numbers = own.iter().copied().chain(std::iter::repeat_n(1, tokens));
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
    /// Loads an ONNX file and sees that it has the inputs and the output of an evaluator of this kind. Errors are one
    /// line for people.
    pub fn load(model: &Path, kind: EvaluatorKind, threads: usize) -> Result<Self, String> {
        let environment = onnx::environment().map_err(|error| error.to_string())?;
        let loads = |error: ort::Error| format!("ONNX Runtime does not load it: {}", onnx::one_line(&error));
        let session = open_session(environment, model, threads).map_err(loads)?;
        let columns = session.inputs().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|column| column.input == Input::Ids) {
            return Err("has no input 'input_ids'".to_owned());
        }
        let output = output_of(&session, kind)?;
        let options = RunOptions::new()
            .map_err(loads)?
            .with_outputs(OutputSelector::no_default().with(output.as_str()));
        Ok(Self { running: Mutex::new(Running { session, options, columns }), output })
    }

    /// Runs `rows` as one batch, padded to the longest; what `read` makes of the output.
    pub fn run<T>(
        &self,
        rows: &[&Row],
        padding: u32,
        read: impl FnOnce(Output<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        let longest = rows.iter().map(|row| row.len()).max().unwrap_or_default();
        let fails = |error: ort::Error| format!("ONNX Runtime: {}", onnx::one_line(&error));
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { session, options, columns } = &mut *running;
        let mut inputs: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(columns.len());
        for column in columns.iter_mut() {
            column.fill(rows, longest, padding);
            let tensor = column.tensor([rows.len(), longest]).map_err(fails)?;
            inputs.push((Cow::Borrowed(column.input.name()), tensor));
        }
        let outputs = session.run_with_options(inputs, &*options).map_err(fails)?;
        let output = outputs.get(&self.output).ok_or("ONNX Runtime gives no output")?;
        let (shape, values) = output.try_extract_tensor::<f32>().map_err(fails)?;
        let shape: Vec<usize> = shape.iter().map(|size| usize::try_from(*size).unwrap_or_default()).collect();
        read(Output { shape: &shape, values })
    }
}

fn open_session(environment: &Environment, model: &Path, threads: usize) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_intra_op_spinning(false)?
        // Costs nothing that could be measured with MiniLM.
        .with_deterministic_compute(true)?
        .commit_from_file(model)
}

fn column(outlet: &Outlet) -> Result<Column, String> {
    let name = outlet.name();
    let input = Input::by_name(name).ok_or_else(|| {
        format!("wants the input '{name}'; an evaluator takes input_ids, attention_mask and token_type_ids")
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

/// The output that an evaluator of this kind is about: the one of a usual name, or else the first.
fn output_of(session: &Session, kind: EvaluatorKind) -> Result<String, String> {
    let usual: &[&str] = match kind {
        EvaluatorKind::CrossEncoder => &["logits"],
        EvaluatorKind::BiEncoder => &["sentence_embedding", "last_hidden_state", "token_embeddings"],
    };
    let outputs = session.outputs();
    let named = usual.iter().find_map(|name| outputs.iter().find(|output| output.name() == *name));
    let output = named.or(outputs.first()).ok_or("has no output")?;
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = output.dtype() else {
        return Err(format!(
            "gives '{}' as {}; the engine reads 32-bit floats",
            output.name(),
            onnx::one_line(output.dtype())
        ));
    };
    check_shape(kind, shape).map(|()| output.name().to_owned())
}

/// Refuses a shape that no evaluator of this kind has. A size that the graph leaves open is negative; no sizes at all
/// are an unknown shape.
fn check_shape(kind: EvaluatorKind, shape: &[i64]) -> Result<(), String> {
    match (kind, shape) {
        (_, []) | (EvaluatorKind::CrossEncoder, [_]) | (EvaluatorKind::BiEncoder, [_, _] | [_, _, _]) => Ok(()),
        (EvaluatorKind::CrossEncoder, [_, classes]) if *classes < 3 => Ok(()),
        (EvaluatorKind::CrossEncoder, [_, classes]) => {
            Err(format!("gives {classes} numbers for a pair; a cross-encoder gives one logit or two classes (no, yes)"))
        }
        (EvaluatorKind::CrossEncoder, _) => {
            Err("gives numbers for each token; if it is a bi-encoder, its poq.json has to say \"kind\": \"bi_encoder\"".to_owned())
        }
        (EvaluatorKind::BiEncoder, _) => {
            Err(format!("gives numbers of shape {shape:?}; a bi-encoder gives a vector for a text, or for each of its tokens"))
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
            assert_eq!(check_shape(CrossEncoder, shape), Ok(()), "{shape:?}");
        }
        assert!(check_shape(CrossEncoder, &[-1, 3]).unwrap_err().contains("3 numbers"));
        assert!(check_shape(CrossEncoder, &[-1, -1, 384]).unwrap_err().contains("bi_encoder"));
        for shape in [&[][..], &[-1, 384], &[-1, -1, 384]] {
            assert_eq!(check_shape(BiEncoder, shape), Ok(()), "{shape:?}");
        }
        assert!(check_shape(BiEncoder, &[-1]).is_err() && check_shape(BiEncoder, &[1, 1, 1, 1]).is_err());
    }

    #[test]
    fn rows_are_filled_up_to_the_longest() {
        let row = Row { ids: vec![7, 8], types: vec![0, 1] };
        let numbers = |input: Input| input.numbers(&row, 4, 9).collect::<Vec<_>>();
        assert_eq!(numbers(Input::Ids), [7, 8, 9, 9]);
        assert_eq!(numbers(Input::Mask), [1, 1, 0, 0]);
        assert_eq!(numbers(Input::Types), [0, 1, 0, 0]);
    }
}
