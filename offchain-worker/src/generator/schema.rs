//! JSON schemas as grammars.
//!
//! Every text of the grammar is JSON that the schema allows; not every such JSON is in the grammar: properties come in
//! the schema's order, numbers have at most 16 digits, white space is short, and where `properties` are named and
//! `additionalProperties` says nothing, there are no others. `format` is taken for a description, and `oneOf` for `anyOf`.
//! Unsupported keywords are refused with their name and place.

use super::{
    grammar::{Alternatives, Builder, Bytes, Grammar, Rule, Symbol},
    integers,
    template::{CALL_END_TAG, CALL_TAG},
};
use crate::{
    json::Json,
    work::{Extras, Form, Tool},
};
use std::{
    collections::{HashMap, VecDeque},
    rc::Rc,
};

/// Largest schema, in bytes of compact JSON.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// Deepest nesting of a schema.
pub const MAX_DEPTH: usize = 32;

/// Highest `minLength`, `maxLength`, `minItems` and `maxItems`.
pub const MAX_COUNT: u64 = 1000;

/// Most spaces at the beginning of a line.
const MOST_INDENT: usize = 16;

/// Keywords that say nothing about which JSON is allowed, or nothing that this needs.
const DESCRIPTIONS: [&str; 18] = [
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "default",
    "definitions",
    "deprecated",
    "description",
    "discriminator",
    "example",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];

/// The grammar of the form that `extras` want, if they want one. `tagged`: whether the model may put a call between
/// the tags that it was taught. The error names the part of the request that is wrong, in one line.
pub fn grammar_of(extras: &Extras, tagged: bool) -> Result<Option<Grammar>, String> {
    let Some(form) = &extras.form else { return Ok(None) };
    let mut compiler = Compiler::new()?;
    let root = match form {
        Form::Object => compiler.any_object,
        Form::Schema(schema) => compiler.whole(schema, "response_format.json_schema.schema")?,
        Form::Call { only } => compiler.call(&extras.tools, only.as_deref(), tagged)?,
    };
    if compiler.builder.circle().is_some() {
        return Err("the schema holds a '$ref' that leads back to itself and to nothing else".to_owned());
    }
    compiler.builder.finish(root).map(Some)
}

/// A schema at its place.
#[derive(Clone)]
struct At<'a> {
    schema: &'a Json,
    /// The schema that references begin at.
    root: &'a Json,
    /// The place of that one.
    base: Rc<str>,
    place: String,
    depth: usize,
}

impl<'a> At<'a> {
    /// The schema `schema`, which is in this one under `name`.
    fn inner(&self, schema: &'a Json, name: impl std::fmt::Display) -> Self {
        let (place, depth) = (format!("{}.{name}", self.place), self.depth.saturating_add(1));
        Self { schema, root: self.root, base: Rc::clone(&self.base), place, depth }
    }

    fn refused(&self, what: impl std::fmt::Display) -> String {
        format!("'{}': {what}", self.place)
    }

    fn field(&self, name: &str) -> Option<&'a Json> {
        self.schema.get(name)
    }

    /// Whether the schema says something by one of these keywords.
    fn says(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.field(name).is_some())
    }

    /// Refuses all keywords but these, and those that only describe.
    fn knows_only(&self, names: &[&str]) -> Result<(), String> {
        let fields = self.schema.fields().unwrap_or_default();
        let known =
            |name: &str| names.contains(&name) || DESCRIPTIONS.contains(&name) || name.starts_with("x-");
        match fields.iter().find(|(name, _)| !known(name)) {
            None => Ok(()),
            Some((name, _)) => Err(self.refused(format!("'{}' cannot be held to here", quoted(name)))),
        }
    }

    /// The schemas in a list of them.
    fn all_of(&self, name: &str) -> Result<Vec<Self>, String> {
        match self.field(name).and_then(Json::items) {
            Some(items) if !items.is_empty() => {
                let inner = |(number, item)| self.inner(item, format_args!("{name}[{number}]"));
                Ok(items.iter().enumerate().map(inner).collect())
            }
            _ => Err(self.refused(format!("'{name}' has to be a list of schemas"))),
        }
    }

    fn count(&self, name: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.field(name) else { return Ok(None) };
        let count = match value {
            Json::Number(number) => number.as_u64().filter(|count| *count <= MAX_COUNT),
            _ => None,
        };
        let count = count.and_then(|count| usize::try_from(count).ok());
        count
            .map(Some)
            .ok_or_else(|| self.refused(format!("'{name}' has to be a whole number of 0 to {MAX_COUNT}")))
    }

    /// The counts of these names, which must not exclude each other.
    fn counts(&self, least: &str, most: &str) -> Result<(usize, Option<usize>), String> {
        let counts = (self.count(least)?.unwrap_or(0), self.count(most)?);
        match counts {
            (low, Some(high)) if low > high => Err(self.refused(format!("'{least}' is above '{most}'"))),
            counts => Ok(counts),
        }
    }

    /// A bound of whole numbers: `inclusive` says it, or `exclusive`, which is one `step` further out.
    fn bound(&self, inclusive: &str, exclusive: &str, step: i64) -> Result<Option<i64>, String> {
        let read = |name: &str| -> Result<Option<i64>, String> {
            let Some(value) = self.field(name) else { return Ok(None) };
            let number = match value {
                Json::Number(number) => number.as_i64().filter(|number| integers::in_range(*number)),
                _ => None,
            };
            let wrong = || {
                let most = integers::MOST;
                self.refused(format!("'{name}' has to be a whole number of -{most} to {most} here"))
            };
            number.map(Some).ok_or_else(wrong)
        };
        let exclusive = read(exclusive)?.map(|bound| bound.saturating_add(step));
        Ok(match (read(inclusive)?, exclusive) {
            (Some(one), Some(other)) if step > 0 => Some(one.max(other)),
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        })
    }
}

/// A caller's name for an error.
fn quoted(name: &str) -> String {
    const LONGEST: usize = 40;
    crate::text::one_line(&name.chars().take(LONGEST).collect::<String>())
}

struct Compiler<'a> {
    builder: Builder,
    /// Rules of schemas that were referred to, by the address of their root and their pointer.
    referred: HashMap<(usize, String), Rule>,
    /// Schemas that were referred to and are not compiled yet.
    later: VecDeque<(Rule, At<'a>)>,
    space: Rule,
    character: Rule,
    string: Rule,
    number: Rule,
    integer: Rule,
    any: Rule,
    any_object: Rule,
}

fn one(ranges: &[(u8, u8)]) -> Symbol {
    Symbol::One(Bytes::ranges(ranges))
}

fn literal(text: &str) -> Vec<Symbol> {
    text.bytes().map(|byte| one(&[(byte, byte)])).collect()
}

fn row(parts: &[&[Symbol]]) -> Vec<Symbol> {
    parts.concat()
}

const DIGIT: [(u8, u8); 1] = [(b'0', b'9')];
const HEX: [(u8, u8); 3] = [(b'0', b'9'), (b'a', b'f'), (b'A', b'F')];

impl<'a> Compiler<'a> {
    /// With the rules of JSON itself.
    fn new() -> Result<Self, String> {
        let mut builder = Builder::default();
        let space = space(&mut builder)?;
        let character = character(&mut builder)?;
        let characters = many(&mut builder, character, 0, None)?;
        let string =
            builder.rule(vec![row(&[&literal("\""), &[Symbol::Rule(characters)], &literal("\"")])])?;
        let (integer, number) = numbers(&mut builder)?;
        let (any, any_object, any_array) = (builder.reserve(), builder.reserve(), builder.reserve());
        let mut compiler = Self {
            builder,
            referred: HashMap::new(),
            later: VecDeque::new(),
            space,
            character,
            string,
            number,
            integer,
            any,
            any_object,
        };
        let kinds = [string, number, any_object, any_array].map(|rule| vec![Symbol::Rule(rule)]);
        let words = ["true", "false", "null"].map(literal);
        compiler.builder.define(any, kinds.into_iter().chain(words).collect())?;
        let field = compiler.field_rule(string, any)?;
        let object = compiler.list("{", field, 0, None, "}")?;
        compiler.builder.define(any_object, vec![vec![Symbol::Rule(object)]])?;
        let array = compiler.list("[", any, 0, None, "]")?;
        compiler.builder.define(any_array, vec![vec![Symbol::Rule(array)]])?;
        Ok(compiler)
    }

    /// `"name": value`.
    fn field_rule(&mut self, name: Rule, value: Rule) -> Result<Rule, String> {
        let (space, name, value) = (Symbol::Rule(self.space), Symbol::Rule(name), Symbol::Rule(value));
        self.builder.rule(vec![row(&[&[name], &literal(":"), &[space, value]])])
    }

    /// Between `open` and `close`, `least` to `most` times `item` with commas.
    fn list(
        &mut self,
        open: &str,
        item: Rule,
        least: usize,
        most: Option<usize>,
        close: &str,
    ) -> Result<Rule, String> {
        let space = Symbol::Rule(self.space);
        let next = self.builder.rule(vec![row(&[&literal(","), &[space, Symbol::Rule(item)]])])?;
        let more =
            many(&mut self.builder, next, least.saturating_sub(1), most.map(|most| most.saturating_sub(1)))?;
        let empty = row(&[&literal(open), &[space], &literal(close)]);
        let full =
            row(&[&literal(open), &[space, Symbol::Rule(item), Symbol::Rule(more), space], &literal(close)]);
        let mut alternatives = Vec::new();
        if least == 0 {
            alternatives.push(empty);
        }
        if most != Some(0) {
            alternatives.push(full);
        }
        self.builder.rule(alternatives)
    }

    /// The rule of a whole schema, and of all that it refers to.
    fn whole(&mut self, schema: &'a Json, place: &str) -> Result<Rule, String> {
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("'{place}' has more than {MAX_SCHEMA_BYTES} bytes; make it smaller"));
        }
        let rule =
            self.value(&At { schema, root: schema, base: place.into(), place: place.to_owned(), depth: 0 })?;
        while let Some((rule, at)) = self.later.pop_front() {
            let inner = self.value(&at)?;
            self.builder.define(rule, vec![vec![Symbol::Rule(inner)]])?;
        }
        Ok(rule)
    }

    /// A call of one of the functions.
    fn call(&mut self, tools: &'a [Tool], only: Option<&str>, tagged: bool) -> Result<Rule, String> {
        let mut calls = Vec::new();
        for (number, tool) in tools.iter().enumerate() {
            let function = &tool.function;
            if only.is_some_and(|only| only != function.name) {
                continue;
            }
            let arguments = match &function.parameters {
                None | Some(Json::Null) => self.any_object,
                Some(parameters) if parameters.fields().is_some_and(|fields| fields.is_empty()) => {
                    self.any_object
                }
                Some(parameters) => {
                    self.whole(parameters, &format!("tools[{number}].function.parameters"))?
                }
            };
            let space = Symbol::Rule(self.space);
            calls.push(row(&[
                &literal("{\"name\":"),
                &[space],
                &literal(&Json::String(function.name.clone()).to_string()),
                &literal(","),
                &[space],
                &literal("\"arguments\":"),
                &[space, Symbol::Rule(arguments)],
                &literal("}"),
            ]));
        }
        if calls.is_empty() {
            return Err("'tool_choice' names none of the 'tools'".to_owned());
        }
        let call = self.builder.rule(calls)?;
        if !tagged {
            return Ok(call);
        }
        let between = row(&[
            &literal(CALL_TAG),
            &literal("\n"),
            &[Symbol::Rule(call)],
            &literal("\n"),
            &literal(CALL_END_TAG),
        ]);
        self.builder.rule(vec![vec![Symbol::Rule(call)], between])
    }

    /// The rule of a schema.
    fn value(&mut self, at: &At<'a>) -> Result<Rule, String> {
        if at.depth > MAX_DEPTH {
            return Err(at.refused(format!("a schema may be nested {MAX_DEPTH} deep")));
        }
        match at.schema {
            Json::Bool(true) => return Ok(self.any),
            Json::Object(_) => {}
            _ => return Err(at.refused("a schema has to be an object or true")),
        }
        if at.says(&["$ref"]) {
            self.reference(at)
        } else if at.says(&["const", "enum"]) {
            self.fixed(at)
        } else if let Some(name) = ["anyOf", "oneOf", "allOf"].into_iter().find(|name| at.says(&[*name])) {
            at.knows_only(&[name])?;
            let inner = at.all_of(name)?;
            if name == "allOf" && inner.len() > 1 {
                return Err(at.refused("'allOf' of more than one schema cannot be held to"));
            }
            let rules = inner.iter().map(|at| self.value(at)).collect::<Result<Vec<_>, _>>()?;
            self.builder.rule(rules.into_iter().map(|rule| vec![Symbol::Rule(rule)]).collect())
        } else {
            self.typed(at)
        }
    }

    /// The schema that `$ref` names; within the same document only.
    fn reference(&mut self, at: &At<'a>) -> Result<Rule, String> {
        at.knows_only(&["$ref"])?;
        let pointer = at.field("$ref").and_then(Json::text).unwrap_or_default();
        let nothing =
            || at.refused(format!("'$ref' to '{}' leads nowhere within the schema", quoted(pointer)));
        let mut schema = at.root;
        let path = pointer.strip_prefix('#').filter(|path| path.is_empty() || path.starts_with('/'));
        let path = path.ok_or_else(nothing)?;
        for name in path.split('/').skip(1) {
            let name = name.replace("~1", "/").replace("~0", "~");
            let item = |items: &'a [Json]| items.get(name.parse::<usize>().ok()?);
            schema = schema.get(&name).or_else(|| schema.items().and_then(item)).ok_or_else(nothing)?;
        }
        let key = (std::ptr::from_ref(at.root).addr(), path.to_owned());
        if let Some(rule) = self.referred.get(&key) {
            return Ok(*rule);
        }
        let rule = self.builder.reserve();
        self.referred.insert(key, rule);
        let place = format!("{}.$ref({})", at.base, quoted(pointer));
        self.later
            .push_back((rule, At { schema, root: at.root, base: Rc::clone(&at.base), place, depth: 0 }));
        Ok(rule)
    }

    /// `const` and `enum`: these values, as far as `type` allows them.
    fn fixed(&mut self, at: &At<'a>) -> Result<Rule, String> {
        at.knows_only(&["const", "enum", "type"])?;
        let types = types_of(at)?;
        let allowed = |value: &&Json| types.is_empty() || types.iter().any(|kind| is_of(value, kind));
        let values: Vec<&Json> = match (at.field("const"), at.field("enum").map(Json::items)) {
            (Some(value), None) => vec![value],
            (None, Some(Some(values))) => values.iter().collect(),
            (Some(_), Some(_)) => return Err(at.refused("'const' and 'enum' together cannot be held to")),
            _ => return Err(at.refused("'enum' has to be a list")),
        };
        let alternatives: Alternatives =
            values.into_iter().filter(allowed).map(|value| literal(&value.to_string())).collect();
        if alternatives.is_empty() {
            return Err(at.refused("no value is of its 'type'"));
        }
        self.builder.rule(alternatives)
    }

    fn typed(&mut self, at: &At<'a>) -> Result<Rule, String> {
        let types = types_of(at)?;
        if types.is_empty() {
            at.knows_only(&[])?;
            return Ok(self.any);
        }
        let keywords = |kind: &&str| keywords_of(kind, &types);
        let known: Vec<&str> = types.iter().flat_map(keywords).chain(["type"]).collect();
        at.knows_only(&known)?;
        let mut alternatives = Vec::new();
        for kind in &types {
            let rule = match *kind {
                "object" => self.object(at)?,
                "array" => self.array(at)?,
                "string" => self.text(at)?,
                "integer" => self.whole_number(at)?,
                "number" => self.number,
                "boolean" => self.builder.rule(vec![literal("true"), literal("false")])?,
                _ => self.builder.rule(vec![literal("null")])?,
            };
            alternatives.push(vec![Symbol::Rule(rule)]);
        }
        self.builder.rule(alternatives)
    }

    fn text(&mut self, at: &At<'a>) -> Result<Rule, String> {
        let (least, most) = at.counts("minLength", "maxLength")?;
        if (least, most) == (0, None) {
            return Ok(self.string);
        }
        let characters = many(&mut self.builder, self.character, least, most)?;
        self.builder.rule(vec![row(&[&literal("\""), &[Symbol::Rule(characters)], &literal("\"")])])
    }

    fn whole_number(&mut self, at: &At<'a>) -> Result<Rule, String> {
        let least = at.bound("minimum", "exclusiveMinimum", 1)?;
        let most = at.bound("maximum", "exclusiveMaximum", -1)?;
        if least.is_none() && most.is_none() {
            return Ok(self.integer);
        }
        let rows = integers::between(least, most);
        if rows.is_empty() {
            return Err(at.refused("no whole number is between its bounds"));
        }
        let row = |row: Vec<(u8, u8)>| row.into_iter().map(|range| one(&[range])).collect();
        self.builder.rule(rows.into_iter().map(row).collect())
    }

    fn array(&mut self, at: &At<'a>) -> Result<Rule, String> {
        let (least, mut most) = at.counts("minItems", "maxItems")?;
        let item = match at.field("items") {
            None => self.any,
            Some(Json::Bool(false)) => {
                most = Some(0);
                self.any
            }
            Some(items) => self.value(&at.inner(items, "items"))?,
        };
        if most.is_some_and(|most| most < least) {
            return Err(at.refused("'minItems' asks for items that 'items' does not allow"));
        }
        self.list("[", item, least, most, "]")
    }

    fn object(&mut self, at: &At<'a>) -> Result<Rule, String> {
        let fields = self.fields(at)?;
        if fields.is_empty() && !at.says(&["properties"]) {
            return match at.field("additionalProperties") {
                None | Some(Json::Bool(true)) => Ok(self.any_object),
                Some(Json::Bool(false)) => self.fields_in_order(&[]),
                Some(schema) => {
                    let value = self.value(&at.inner(schema, "additionalProperties"))?;
                    let field = self.field_rule(self.string, value)?;
                    self.list("{", field, 0, None, "}")
                }
            };
        }
        self.fields_in_order(&fields)
    }

    /// The fields of an object, and whether they have to be there.
    fn fields(&mut self, at: &At<'a>) -> Result<Vec<(Rule, bool)>, String> {
        let properties: &'a [(String, Json)] = match at.field("properties") {
            None => &[],
            Some(properties) => {
                properties.fields().ok_or_else(|| at.refused("'properties' has to be an object"))?
            }
        };
        let required = match at.field("required").map(Json::items) {
            None => Vec::new(),
            Some(names) => {
                let names = names.map(|names| names.iter().map(Json::text).collect::<Option<Vec<_>>>());
                names.flatten().ok_or_else(|| at.refused("'required' has to be a list of names"))?
            }
        };
        let mut fields = Vec::new();
        for (name, schema) in properties {
            let value = self.value(&at.inner(schema, format_args!("properties.{}", quoted(name))))?;
            fields.push((self.named(name, value)?, required.contains(&name.as_str())));
        }
        let mut seen: Vec<&str> = properties.iter().map(|(name, _)| name.as_str()).collect();
        for name in required {
            if seen.contains(&name) {
                continue;
            }
            let value = match at.field("additionalProperties") {
                None | Some(Json::Bool(true)) => self.any,
                Some(Json::Bool(false)) => {
                    return Err(at.refused(format!("'{}' is required and not allowed", quoted(name))));
                }
                Some(schema) => self.value(&at.inner(schema, "additionalProperties"))?,
            };
            fields.push((self.named(name, value)?, true));
            seen.push(name);
        }
        Ok(fields)
    }

    fn named(&mut self, name: &str, value: Rule) -> Result<Rule, String> {
        let name = self.builder.rule(vec![literal(&Json::String(name.to_owned()).to_string())])?;
        self.field_rule(name, value)
    }

    fn fields_in_order(&mut self, fields: &[(Rule, bool)]) -> Result<Rule, String> {
        let space = Symbol::Rule(self.space);
        // What may follow a field, and what may begin the object, from the last field to the first.
        let end = self.builder.rule(vec![vec![]])?;
        let (mut after, mut first) = (end, end);
        for (field, required) in fields.iter().rev() {
            let field = Symbol::Rule(*field);
            let mut next = vec![row(&[&literal(","), &[space, field, Symbol::Rule(after)]])];
            let mut start = vec![vec![field, Symbol::Rule(after)]];
            if !required {
                next.push(vec![Symbol::Rule(after)]);
                start.push(vec![Symbol::Rule(first)]);
            }
            (after, first) = (self.builder.rule(next)?, self.builder.rule(start)?);
        }
        self.builder.rule(vec![row(&[&literal("{"), &[space, Symbol::Rule(first), space], &literal("}")])])
    }
}

/// The types that a schema names, or those that its keywords are about; none if it allows all.
fn types_of<'a>(at: &At<'a>) -> Result<Vec<&'a str>, String> {
    const TYPES: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];
    let known = |value: &'a Json| value.text().filter(|kind| TYPES.contains(kind));
    let types = match at.field("type") {
        None => {
            let meant = |kind: &&&'static str| at.says(&keywords_of(kind, &[]));
            return Ok(TYPES.iter().find(meant).copied().into_iter().collect());
        }
        Some(Json::Array(kinds)) if !kinds.is_empty() => kinds.iter().map(known).collect::<Option<Vec<_>>>(),
        Some(kind) => known(kind).map(|kind| vec![kind]),
    };
    types
        .ok_or_else(|| at.refused(format!("'type' has to be one of {}, or a list of them", TYPES.join(", "))))
}

/// The keywords that are held to for values of type `kind`, if `types` are allowed.
fn keywords_of(kind: &str, types: &[&str]) -> Vec<&'static str> {
    match kind {
        "object" => vec!["properties", "required", "additionalProperties"],
        "array" => vec!["items", "minItems", "maxItems"],
        "string" => vec!["minLength", "maxLength"],
        "integer" if !types.contains(&"number") && !types.is_empty() => {
            vec!["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]
        }
        _ => Vec::new(),
    }
}

fn is_of(value: &Json, kind: &str) -> bool {
    match value {
        Json::Null => kind == "null",
        Json::Bool(_) => kind == "boolean",
        Json::Number(number) => kind == "number" || kind == "integer" && (number.is_i64() || number.is_u64()),
        Json::String(_) => kind == "string",
        Json::Array(_) => kind == "array",
        Json::Object(_) => kind == "object",
    }
}

/// `item`, `least` to `most` times.
fn many(builder: &mut Builder, item: Rule, least: usize, most: Option<usize>) -> Result<Rule, String> {
    let item = Symbol::Rule(item);
    let Some(most) = most else {
        let more = builder.reserve();
        builder.define(more, vec![vec![], vec![item, Symbol::Rule(more)]])?;
        return builder.rule(vec![row(&[&vec![item; least], &[Symbol::Rule(more)]])]);
    };
    let mut rest = builder.rule(vec![vec![]])?;
    for number in (0..most).rev() {
        let mut alternatives = vec![vec![item, Symbol::Rule(rest)]];
        if number >= least {
            alternatives.push(vec![]);
        }
        rest = builder.rule(alternatives)?;
    }
    Ok(rest)
}

/// No space, one, or a new line.
fn space(builder: &mut Builder) -> Result<Rule, String> {
    let blank = builder.rule(vec![literal(" ")])?;
    let indent = many(builder, blank, 0, Some(MOST_INDENT))?;
    builder.rule(vec![vec![], literal(" "), row(&[&literal("\n"), &[Symbol::Rule(indent)]])])
}

/// One character of a text: in UTF-8, or escaped. Halves of characters (surrogates) are left out.
fn character(builder: &mut Builder) -> Result<Rule, String> {
    let rest = one(&[(0x80, 0xBF)]);
    let (hex, escape) = (one(&HEX), literal("\\"));
    let escaped = [
        (b'"', b'"'),
        (b'\\', b'\\'),
        (b'/', b'/'),
        (b'b', b'b'),
        (b'f', b'f'),
        (b'n', b'n'),
        (b'r', b'r'),
        (b't', b't'),
    ];
    let high = one(&[(b'0', b'9'), (b'a', b'c'), (b'A', b'C'), (b'e', b'f'), (b'E', b'F')]);
    let below_surrogates = [literal("d"), literal("D")]
        .map(|d| row(&[&escape, &literal("u"), &d, &[one(&[(b'0', b'7')]), hex, hex]]));
    let mut alternatives = vec![
        vec![one(&[(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7F)])],
        vec![one(&[(0xC2, 0xDF)]), rest],
        vec![one(&[(0xE0, 0xE0)]), one(&[(0xA0, 0xBF)]), rest],
        vec![one(&[(0xE1, 0xEC), (0xEE, 0xEF)]), rest, rest],
        vec![one(&[(0xED, 0xED)]), one(&[(0x80, 0x9F)]), rest],
        vec![one(&[(0xF0, 0xF0)]), one(&[(0x90, 0xBF)]), rest, rest],
        vec![one(&[(0xF1, 0xF3)]), rest, rest, rest],
        vec![one(&[(0xF4, 0xF4)]), one(&[(0x80, 0x8F)]), rest, rest],
        row(&[&escape, &[one(&escaped)]]),
        row(&[&escape, &literal("u"), &[high, hex, hex, hex]]),
    ];
    alternatives.extend(below_surrogates);
    builder.rule(alternatives)
}

/// Whole numbers, and all numbers. Their digits are limited, so that they fit everywhere.
fn numbers(builder: &mut Builder) -> Result<(Rule, Rule), String> {
    const MORE_DIGITS: usize = 15;
    let (digit, from_one) = (one(&DIGIT), one(&[(b'1', b'9')]));
    let digits = builder.rule(vec![vec![digit]])?;
    let more = Symbol::Rule(many(builder, digits, 0, Some(MORE_DIGITS))?);
    let minus = literal("-");
    let integer =
        builder.rule(vec![literal("0"), vec![from_one, more], row(&[&minus, &[from_one, more]])])?;
    let fraction = Symbol::Rule(builder.rule(vec![vec![], row(&[&literal("."), &[digit, more]])])?);
    let sign = Symbol::Rule(builder.rule(vec![vec![], literal("+"), literal("-")])?);
    let e = one(&[(b'e', b'e'), (b'E', b'E')]);
    let exponent =
        Symbol::Rule(builder.rule(vec![vec![], vec![e, sign, digit], vec![e, sign, digit, digit]])?);
    let number = builder.rule(vec![
        vec![Symbol::Rule(integer), fraction, exponent],
        row(&[&literal("-0"), &[fraction, exponent]]),
    ])?;
    Ok((integer, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator::grammar::Reader;
    use proptest::prelude::*;

    fn form(schema: &str) -> Extras {
        Extras { form: Some(Form::Schema(serde_json::from_str(schema).unwrap())), ..Extras::default() }
    }

    fn compile(schema: &str) -> Result<Grammar, String> {
        grammar_of(&form(schema), false).map(Option::unwrap)
    }

    fn takes(grammar: &Grammar, text: &str) -> bool {
        let mut reader = Reader::new(grammar.clone()).unwrap();
        for byte in text.bytes() {
            if !reader.allows(&[byte]).unwrap() {
                return false;
            }
            reader.accept(&[byte]).unwrap();
        }
        reader.is_complete()
    }

    #[test]
    fn schemas_allow_what_they_say() {
        let cases: Vec<(&str, &[&str], &[&str])> = vec![
            (
                "true",
                &["1", "null", r#"{"a":[1,{}]}"#, "\"é\\u00e9\\n\"", "-1.5e-7"],
                &["", "01", "tru", "{a:1}", "\"\\ud800\"", "\"\n\"", "[1,]"],
            ),
            (
                r#"{"type":"integer"}"#,
                &["0", "-17", "1234567890123456"],
                &["-0", "1.0", "01", "12345678901234567", "\"1\""],
            ),
            (
                r#"{"type":"integer","minimum":-3,"maximum":12}"#,
                &["-3", "-1", "0", "9", "10", "12"],
                &["-4", "13", "100", "-0", "00"],
            ),
            (
                r#"{"type":"integer","exclusiveMinimum":99,"maximum":1000}"#,
                &["100", "555", "1000"],
                &["99", "1001"],
            ),
            (
                r#"{"type":["string","null"],"maxLength":2,"minLength":1}"#,
                &["\"a\"", "\"é\\n\"", "null"],
                &["\"\"", "\"abc\"", "1"],
            ),
            (r#"{"enum":["a",1,null,{"b":[]}]}"#, &["\"a\"", "1", "null", r#"{"b":[]}"#], &["2", "a", "{}"]),
            (r#"{"type":"string","enum":["a",1]}"#, &["\"a\""], &["1"]),
            (r#"{"const":"x\"y"}"#, &[r#""x\"y""#], &["\"x\""]),
            (
                r#"{"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2}"#,
                &["[true]", "[true, false]", "[\n  true,\n  false\n]"],
                &["[]", "[true,true,true]", "[1]"],
            ),
            (r#"{"type":"array","maxItems":0}"#, &["[]", "[ ]"], &["[1]"]),
            (r#"{"type":"object"}"#, &["{}", r#"{"a":1,"b":{}}"#], &["[]", "1"]),
            (r#"{"type":"object","properties":{}}"#, &["{}"], &[r#"{"a":1}"#]),
            (
                r#"{"type":"object","additionalProperties":{"type":"null"}}"#,
                &["{}", r#"{"a":null}"#],
                &[r#"{"a":1}"#],
            ),
            (
                r#"{"properties":{"b":{"type":"null"},"a":{"type":"null"},"c":{"type":"null"}},"required":["a"]}"#,
                &[
                    r#"{"a":null}"#,
                    r#"{"b":null, "a":null}"#,
                    r#"{"b":null,"a":null,"c":null}"#,
                    r#"{ "a": null }"#,
                ],
                &[
                    "{}",
                    r#"{"b":null}"#,
                    r#"{"a":null,"b":null}"#,
                    r#"{"a":null,}"#,
                    r#"{"a":null,"d":null}"#,
                ],
            ),
            (r#"{"required":["x"]}"#, &[r#"{"x":[1]}"#], &["{}"]),
            (
                r##"{"$defs":{"t":{"type":"object","properties":{"n":{"anyOf":[{"$ref":"#/$defs/t"},{"type":"null"}]}},"required":["n"]}},"$ref":"#/$defs/t"}"##,
                &[r#"{"n":null}"#, r#"{"n":{"n":{"n":null}}}"#],
                &["null", r#"{"n":{}}"#],
            ),
            (r##"{"type":"array","items":{"$ref":"#"}}"##, &["[]", "[[],[[]]]"], &["[1]"]),
            (r#"{"allOf":[{"type":"null"}],"title":"t","x-y":1}"#, &["null"], &["1"]),
        ];
        for (schema, good, bad) in cases {
            let grammar = compile(schema).unwrap();
            for text in good {
                assert!(takes(&grammar, text), "{schema} takes {text}");
                serde_json::from_str::<serde_json::Value>(text).unwrap();
            }
            for text in bad {
                assert!(!takes(&grammar, text), "{schema} does not take {text}");
            }
        }
    }

    #[test]
    fn what_cannot_be_held_to_is_refused_by_its_name_and_place() {
        for (schema, name) in [
            (
                r#"{"properties":{"a":{"type":"string","pattern":"x"}}}"#,
                "'response_format.json_schema.schema.properties.a': 'pattern'",
            ),
            (r#"{"type":"number","minimum":1}"#, "'minimum'"),
            (r#"{"type":["integer","number"],"minimum":1}"#, "'minimum'"),
            (r#"{"type":"array","uniqueItems":true}"#, "'uniqueItems'"),
            (r#"{"type":"array","items":{"not":{}}}"#, "schema.items': 'not'"),
            (r#"{"anyOf":[{"type":"null"}],"type":"null"}"#, "'type'"),
            (r#"{"anyOf":[{"type":"null"},{"patternProperties":{}}]}"#, "anyOf[1]': 'patternProperties'"),
            (r#"{"anyOf":[]}"#, "'anyOf'"),
            (r#"{"allOf":[{},{}]}"#, "'allOf'"),
            (r#"{"type":"thing"}"#, "'type'"),
            (r#"{"type":[]}"#, "'type'"),
            (r##"{"$ref":"#/$defs/x"}"##, "'#/$defs/x'"),
            (r#"{"$ref":"http://x/y"}"#, "'http://x/y'"),
            (
                r##"{"$defs":{"x":{"type":"string","pattern":"y"}},"$ref":"#/$defs/x"}"##,
                "$ref(#/$defs/x)': 'pattern'",
            ),
            (r##"{"$ref":"#"}"##, "'$ref'"),
            (r##"{"properties":{"a":{"$ref":"#"}},"required":["a"]}"##, "finite"),
            (r##"{"anyOf":[{"type":"null"},{"$ref":"#"}]}"##, "'$ref'"),
            (r#"{"type":"string","maxLength":1001}"#, "0 to 1000"),
            (r#"{"type":"string","minLength":3,"maxLength":2}"#, "'minLength'"),
            (r#"{"type":"integer","minimum":3,"maximum":2}"#, "bounds"),
            (r#"{"type":"integer","minimum":1.5}"#, "'minimum'"),
            (r#"{"required":["a"],"additionalProperties":false}"#, "'a' is required"),
            (r#"{"required":"a"}"#, "'required'"),
            (r#"{"properties":[]}"#, "'properties'"),
            (r#"{"type":"string","enum":[1]}"#, "'type'"),
            ("false", "object or true"),
            ("[]", "object or true"),
        ] {
            let error = compile(schema).unwrap_err();
            assert!(error.contains(name) && !error.contains('\n'), "{schema}: {error}");
        }
    }

    #[test]
    fn hostile_schemas_are_refused_at_their_bounds() {
        let nested = |depth| format!("{}true{}", r#"{"items":"#.repeat(depth), "}".repeat(depth));
        assert!(compile(&nested(MAX_DEPTH)).is_ok());
        assert!(compile(&nested(MAX_DEPTH + 1)).unwrap_err().contains("nested"));
        let long = |length: usize| format!(r#"{{"title":"{}"}}"#, "x".repeat(length - 12));
        assert!(compile(&long(MAX_SCHEMA_BYTES)).is_ok());
        assert!(compile(&long(MAX_SCHEMA_BYTES + 1)).unwrap_err().contains("bytes"));
        let strings = |count: usize| {
            let field =
                |number| format!(r#""{number}":{{"type":"string","minLength":1000,"maxLength":1000}}"#);
            format!(r#"{{"properties":{{{}}}}}"#, (0..count).map(field).collect::<Vec<_>>().join(","))
        };
        assert!(compile(&strings(10)).is_ok());
        assert!(compile(&strings(200)).unwrap_err().contains("symbols"));
        let chain: Vec<String> =
            (0..1000).map(|n| format!(r##""{n}":{{"$ref":"#/$defs/{}"}}"##, n + 1)).collect();
        let chain =
            format!(r##"{{"$defs":{{{},"1000":{{"type":"null"}}}},"$ref":"#/$defs/0"}}"##, chain.join(","));
        assert!(takes(&compile(&chain).unwrap(), "null"));
    }

    #[test]
    fn calls_name_a_function_and_its_arguments() {
        let tool = |name: &str, parameters: Option<&str>| Tool {
            kind: Default::default(),
            function: crate::work::Function {
                name: name.into(),
                description: None,
                parameters: parameters.map(|text| serde_json::from_str(text).unwrap()),
            },
        };
        let tools = vec![
            tool("f", None),
            tool("g", Some(r#"{"properties":{"x":{"type":"integer"}},"required":["x"]}"#)),
        ];
        let call = |only: Option<&str>, tagged| {
            let form = Some(Form::Call { only: only.map(str::to_owned) });
            grammar_of(&Extras { tools: tools.clone(), form, ..Extras::default() }, tagged)
                .map(Option::unwrap)
        };
        let (f, g) = (r#"{"name":"f","arguments":{"any":1}}"#, r#"{"name": "g", "arguments": {"x": 1}}"#);
        let either = call(None, false).unwrap();
        assert!(takes(&either, f) && takes(&either, g) && !takes(&either, r#"{"name":"g","arguments":{}}"#));
        let one = call(Some("g"), true).unwrap();
        assert!(!takes(&one, f) && takes(&one, g) && takes(&one, &format!("<tool_call>\n{g}\n</tool_call>")));
        assert!(call(Some("h"), false).unwrap_err().contains("tool_choice"));
    }

    proptest! {
        #[test]
        fn no_schema_panics(text in r#"[{}\[\]",:a-z$#/0-9-]{0,60}"#) {
            if let Ok(schema) = serde_json::from_str::<Json>(&text) {
                let _either = grammar_of(&Extras { form: Some(Form::Schema(schema)), ..Extras::default() }, false);
            }
        }

        #[test]
        fn whole_numbers_are_exactly_those_between_their_bounds(
            bounds in (-2000_i64..2000, -2000_i64..2000), number in -2500_i64..2500,
        ) {
            let (least, most) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let grammar = compile(&format!(r#"{{"type":"integer","minimum":{least},"maximum":{most}}}"#)).unwrap();
            prop_assert_eq!(takes(&grammar, &number.to_string()), (least..=most).contains(&number));
        }
    }
}
