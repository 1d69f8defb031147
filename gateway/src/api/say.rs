//! Answers in OpenAI's forms, made of an order and its outcome alone: whoever asks twice gets the same.

use crate::{
    desk,
    order::{Form, Outcome, Record},
    refusal::{Kind, Refusal},
};
use poq_primitives::conversation;
use serde_json::{json, Value};

/// Characters of a piece of a stream, about.
const PIECE: usize = 24;

/// Bytes of a token, about. The chain does not count tokens of texts.
const BYTES_A_TOKEN: usize = 4;

/// The text of a settled order, up to the first stop sequence; or why there is none.
pub fn text(record: &Record, outcome: &Outcome) -> Result<String, Refusal> {
    let refusal = match outcome {
        Outcome::Settled { answer, .. } => {
            // Again: an inference node may have gone on.
            let (_, options) = conversation::decode_with(&record.order.prompt);
            return Ok(cut(answer, &options.stop).to_owned());
        }
        Outcome::Refunded { request, meaning, .. } => Refusal::new(
            Kind::NoAnswer,
            "refunded",
            format!("request {request} was refunded: {meaning}. What was not earned came back; ask again if you like"),
        ),
        Outcome::Refused { name, meaning, .. } => desk::refused(name, meaning),
        Outcome::Forgotten { .. } => Refusal::new(
            Kind::Gone,
            "forgotten",
            "the chain took the request and forgot it before the gateway could read the answer",
        ),
    };
    Err(refusal.with(poq(record, outcome)))
}

/// `text` up to the first of the stop sequences in it.
fn cut<'a>(text: &'a str, stops: &[String]) -> &'a str {
    let end = stops.iter().filter_map(|stop| text.find(stop.as_str())).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The field `poq` of an order that is over.
pub fn poq(record: &Record, outcome: &Outcome) -> Value {
    let terms = &record.order.terms;
    let cost = outcome.cost().map(|units| units.to_string());
    match outcome {
        Outcome::Settled { request, block, best, responders, scorers, bill, .. } => {
            let best = responders.get(*best as usize);
            json!({
                "id": record.id,
                "state": "settled",
                "request": request,
                "block": block,
                "quality": best.and_then(|best| best.quality),
                "min_quality": f64::from(terms.min_quality) / 1e6,
                "model": best.map(|best| &best.model),
                "operator": best.map(|best| &best.operator),
                "responders": responders,
                "committee": terms.committee,
                "scored_by": scorers,
                "max_tokens": terms.max_tokens,
                "budget": bill.budget.to_string(),
                "cost": cost,
                "refund": bill.refund.to_string(),
                "transaction_fee": bill.transaction_fee.to_string(),
                "receipt": receipt(*request),
            })
        }
        Outcome::Refunded { request, block, reason, responders, bill, .. } => json!({
            "id": record.id,
            "state": "refunded",
            "request": request,
            "block": block,
            "reason": reason,
            "responders": responders,
            "budget": bill.budget.to_string(),
            "cost": cost,
            "refund": bill.refund.to_string(),
            "transaction_fee": bill.transaction_fee.to_string(),
            "receipt": receipt(*request),
        }),
        Outcome::Refused { name, .. } => {
            json!({ "id": record.id, "state": "refused", "reason": name, "cost": cost })
        }
        Outcome::Forgotten { request } => {
            json!({ "id": record.id, "state": "forgotten", "request": request, "cost": cost })
        }
    }
}

fn receipt(request: u64) -> String {
    format!("/v1/receipts/{request}")
}

/// Numbers of tokens, estimated.
pub fn usage(record: &Record, text: &str) -> Value {
    let (asked, answered) =
        (record.order.prompt.len().div_ceil(BYTES_A_TOKEN), text.len().div_ceil(BYTES_A_TOKEN));
    json!({ "prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered })
}

/// Name of the model that wrote the answer, or of the one asked for.
fn model(record: &Record, outcome: &Outcome) -> String {
    let best = match outcome {
        Outcome::Settled { responders, best, .. } => responders.get(*best as usize),
        _ => None,
    };
    best.map_or_else(|| record.order.model.clone(), |best| best.model.clone())
}

/// A whole answer.
pub fn completion(record: &Record, outcome: &Outcome) -> Result<Value, Refusal> {
    let text = text(record, outcome)?;
    let (object, choice) = match record.order.form {
        Form::Chat => (
            "chat.completion",
            json!({
                "index": 0,
                "message": { "role": "assistant", "content": text, "refusal": null },
                "logprobs": null,
                "finish_reason": "stop",
            }),
        ),
        Form::Text => (
            "text_completion",
            json!({ "index": 0, "text": text, "logprobs": null, "finish_reason": "stop" }),
        ),
    };
    Ok(json!({
        "id": record.id,
        "object": object,
        "created": record.accepted / 1000,
        "model": model(record, outcome),
        "choices": [choice],
        "usage": usage(record, &text),
        "poq": poq(record, outcome),
    }))
}

/// Events of a stream, all of one answer.
pub struct Chunks<'a> {
    record: &'a Record,
    model: String,
}

impl<'a> Chunks<'a> {
    /// The events before the answer is there.
    pub fn before(record: &'a Record) -> Self {
        Self { record, model: record.order.model.clone() }
    }

    /// The events of an answer.
    pub fn of(record: &'a Record, outcome: &Outcome) -> Self {
        Self { record, model: model(record, outcome) }
    }

    fn chunk(&self, choices: Value) -> Value {
        let object = match self.record.order.form {
            Form::Chat => "chat.completion.chunk",
            Form::Text => "text_completion",
        };
        json!({
            "id": self.record.id,
            "object": object,
            "created": self.record.accepted / 1000,
            "model": self.model,
            "choices": choices,
        })
    }

    /// The first event: the role.
    pub fn role(&self) -> Option<Value> {
        let delta = json!({ "role": "assistant", "content": "" });
        (self.record.order.form == Form::Chat).then(|| {
            self.chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]))
        })
    }

    /// A piece of the text.
    pub fn piece(&self, text: &str) -> Value {
        self.chunk(match self.record.order.form {
            Form::Chat => {
                json!([{ "index": 0, "delta": { "content": text }, "logprobs": null, "finish_reason": null }])
            }
            Form::Text => json!([{ "index": 0, "text": text, "logprobs": null, "finish_reason": null }]),
        })
    }

    /// The last events: the reason of the end, and what the network says. Tokens and `poq` stand in an event without choices if the caller
    /// wants usage as OpenAI sends it, and otherwise together with the reason: programs that do not ask for such an event may not know it.
    pub fn last(&self, outcome: &Outcome, text: &str, usage_alone: bool) -> Vec<Value> {
        let mut end = self.chunk(match self.record.order.form {
            Form::Chat => json!([{ "index": 0, "delta": {}, "logprobs": null, "finish_reason": "stop" }]),
            Form::Text => json!([{ "index": 0, "text": "", "logprobs": null, "finish_reason": "stop" }]),
        });
        let add = |event: &mut Value| {
            if let Some(fields) = event.as_object_mut() {
                fields.insert("usage".into(), usage(self.record, text));
                fields.insert("poq".into(), poq(self.record, outcome));
            }
        };
        if !usage_alone {
            add(&mut end);
            return vec![end];
        }
        let mut alone = self.chunk(json!([]));
        add(&mut alone);
        vec![end, alone]
    }
}

/// A text in pieces that end between words.
pub fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut begin, mut length) = (0, 0);
    for (place, character) in text.char_indices() {
        length += 1;
        if length >= PIECE && character.is_whitespace() || length >= 4 * PIECE {
            let end = place + character.len_utf8();
            pieces.extend(text.get(begin..end));
            (begin, length) = (end, 0);
        }
    }
    pieces.extend(text.get(begin..).filter(|rest| !rest.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Bill, Hash, Order, Responder, Terms};
    use proptest::prelude::*;

    fn record(form: Form, stop: &[&str]) -> Record {
        let terms = Terms {
            generators: vec![Hash([1; 32])],
            evaluator: Hash([2; 32]),
            max_tokens: 64,
            temperature_milli: 0,
            seed: 0,
            responders: 1,
            committee: 5,
            min_quality: 500_000,
            budget: 100,
            mark: Hash([3; 32]),
        };
        let stop = stop.iter().map(|stop| (*stop).to_owned()).collect();
        let options = conversation::Options { stop, ..Default::default() };
        let question = conversation::Message::new(conversation::Role::User, "What is it?");
        let prompt = conversation::encode_with(&[question], &options).unwrap();
        let order = Order { form, prompt, terms, model: "auto".into() };
        Record {
            id: "chatcmpl-1".into(),
            key: "k".into(),
            accepted: 7_000,
            order,
            counted: 0,
            sent: None,
            place: None,
            outcome: None,
            is_final: false,
        }
    }

    fn settled(answer: &str) -> Outcome {
        let responder = Responder {
            operator: "5Grw".into(),
            model: "strong".into(),
            quality: Some(0.985),
            work: "revealed".into(),
            paid: 60,
        };
        Outcome::Settled {
            request: 7,
            block: 9,
            answer: answer.into(),
            best: 0,
            responders: vec![responder],
            scorers: 5,
            bill: Bill { budget: 100, paid: 60, chain: 5, refund: 35, transaction_fee: 2 },
        }
    }

    #[test]
    fn an_answer_says_who_gave_it_how_good_it_is_and_what_it_cost() {
        let answer = completion(&record(Form::Chat, &[]), &settled("Lima.")).unwrap();
        assert_eq!(answer["choices"][0]["message"]["content"], "Lima.");
        assert_eq!((&answer["model"], &answer["created"]), (&json!("strong"), &json!(7)));
        let poq = &answer["poq"];
        assert_eq!(
            (&poq["request"], &poq["quality"], &poq["cost"]),
            (&json!(7), &json!(0.985), &json!("67"))
        );
        assert_eq!((&poq["refund"], &poq["receipt"]), (&json!("35"), &json!("/v1/receipts/7")));
        assert_eq!(answer["usage"]["total_tokens"], 5);
        let text = completion(&record(Form::Text, &["m"]), &settled("Lima.")).unwrap();
        assert_eq!((&text["object"], &text["choices"][0]["text"]), (&json!("text_completion"), &json!("Li")));
    }

    #[test]
    fn an_end_without_an_answer_is_an_error_that_says_so() {
        let bill = Bill { budget: 100, paid: 10, chain: 5, refund: 85, transaction_fee: 2 };
        let outcome = Outcome::Refunded {
            request: 7,
            block: 9,
            reason: "NoOutput".into(),
            meaning: "nobody showed one".into(),
            responders: Vec::new(),
            bill,
        };
        let refusal = completion(&record(Form::Chat, &[]), &outcome).unwrap_err();
        assert_eq!((refusal.kind, refusal.code), (Kind::NoAnswer, "refunded"));
        let body = refusal.body();
        assert_eq!(body["error"]["poq"]["refund"], "85");
        assert!(body["error"]["message"].as_str().unwrap().contains("refunded: nobody showed one"));
    }

    #[test]
    fn a_stream_ends_with_usage_and_poq_either_way() {
        let record = record(Form::Chat, &[]);
        let outcome = settled("Lima.");
        let chunks = Chunks::of(&record, &outcome);
        let together = chunks.last(&outcome, "Lima.", false);
        assert_eq!((together.len(), &together[0]["choices"][0]["finish_reason"]), (1, &json!("stop")));
        assert_eq!(together[0]["poq"]["request"], 7);
        let alone = chunks.last(&outcome, "Lima.", true);
        assert_eq!((alone.len(), &alone[1]["choices"]), (2, &json!([])));
        assert!(alone[1]["usage"]["total_tokens"].is_u64() && alone[0].get("usage").is_none());
    }

    proptest! {
        #[test]
        fn pieces_are_the_text(text in "\\PC{0,200}") {
            prop_assert_eq!(pieces(&text).concat(), text);
        }
    }
}
