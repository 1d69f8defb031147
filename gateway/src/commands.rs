//! `poq-gateway keys`.

use crate::{
    amount,
    chain::now,
    config::{Keys, NewKey, Place},
    keys::{Key, Limits},
    server::folder,
    store::{day_of, Store},
};
use comfy_table::{presets, Table};
use std::io::{self, Write as _};

/// Does what is wanted with the keys.
pub fn keys(place: &Place, command: Keys) -> Result<(), String> {
    let store = Store::open(&folder(place)?).map_err(|error| error.to_string())?;
    match command {
        Keys::Create(new) => create(&store, new),
        Keys::List => list(&store),
        Keys::Revoke { key } => match store.revoke_key(&key, now()) {
            Ok(true) => say(&format!("revoked: {key}")),
            Ok(false) => {
                Err(format!("there is no key '{key}' that is not revoked; `poq-gateway keys list` shows all"))
            }
            Err(error) => Err(error.to_string()),
        },
    }
}

fn create(store: &Store, new: NewKey) -> Result<(), String> {
    let NewKey { name, spend_a_day, per_minute, models, metrics } = new;
    if name.trim().is_empty() {
        return Err("--name is empty: give the key a name, to tell it from others".into());
    }
    let per_day = spend_a_day.map(|units| u64::try_from(units).unwrap_or(u64::MAX));
    let limits = Limits { per_day, per_minute, models, metrics };
    let secret = store.create_key(&name, &limits, now()).map_err(|error| error.to_string())?;
    say(&secret.text)?;
    let _unread =
        writeln!(io::stderr(), "This is the only time that the key is shown. Its id is {}.", secret.id);
    Ok(())
}

fn list(store: &Store) -> Result<(), String> {
    let keys = store.keys().map_err(|error| error.to_string())?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["Id", "Name", "Made", "Spent today", "A day", "A minute", "Models", "State"]);
    for key in keys {
        let spent = store.spent(&key.id, day_of(now())).map_err(|error| error.to_string())?;
        let date = |time| store.date(time).map_err(|error| error.to_string());
        let revoked = key.revoked.map(date).transpose()?;
        table.add_row(row(&key, spent, date(key.created)?, revoked));
    }
    say(&table.trim_fmt())
}

fn row(key: &Key, spent: u128, made: String, revoked: Option<String>) -> [String; 8] {
    let Limits { per_day, per_minute, models, metrics } = &key.limits;
    let any = || "any".to_owned();
    [
        key.id.clone(),
        key.name.clone(),
        made,
        amount::show(spent),
        per_day.map_or_else(any, |units| amount::show(units.into())),
        per_minute.map_or_else(any, |number| number.to_string()),
        if *metrics {
            "none: metrics".to_owned()
        } else if models.is_empty() {
            any()
        } else {
            models.join(", ")
        },
        revoked.map_or_else(|| "valid".to_owned(), |date| format!("revoked {date}")),
    ]
}

fn say(text: &str) -> Result<(), String> {
    writeln!(io::stdout(), "{text}").map_err(|error| format!("cannot write: {error}"))
}
