//! Status of a network, as a table or JSON.

use crate::{asking::Heights, network::Network, node::Node};
use comfy_table::{
    presets, Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};
use harness::process;
use serde::Serialize;
use std::io::IsTerminal as _;

/// A line below the heads and no other.
const STYLE: TableStyle = presets::NOTHING.header_separator(LineStyle::none().fill('─').junction('─'));

/// Status of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Name.
    pub name: String,
    /// Role.
    pub role: &'static str,
    /// URL of its RPC.
    pub url: String,
    /// Id of its process, if it runs.
    pub process: Option<u32>,
    /// Memory of that process, in bytes.
    pub memory: u64,
    /// Id of its engine's process, if it runs.
    pub engine: Option<u32>,
    /// Memory of the engine's process and of the process of each loaded model, in bytes.
    pub engine_memory: Vec<u64>,
    /// Number of its best block; `None` if it does not answer.
    pub best: Option<u64>,
    /// Number of its newest finalized block.
    pub finalized: Option<u64>,
    /// Number of connected nodes.
    pub peers: Option<u64>,
}

/// Status of each node of a network.
pub async fn statuses(network: &Network) -> Vec<Status> {
    futures::future::join_all(network.nodes().iter().map(status)).await
}

async fn status(node: &Node) -> Status {
    let process = node.process();
    let engine = node.engine();
    let heights = match process {
        Some(_) => Heights::of(&node.url()).await.ok(),
        None => None,
    };
    Status {
        name: node.name().to_owned(),
        role: node.member.role(),
        url: node.url(),
        process,
        memory: process.map_or(0, process::memory),
        engine,
        engine_memory: engine.into_iter().chain(node.runners()).map(process::memory).collect(),
        best: heights.map(|heights| heights.best),
        finalized: heights.map(|heights| heights.finalized),
        peers: heights.map(|heights| heights.peers),
    }
}

/// A table of nodes, one on each line.
pub fn table(statuses: &[Status]) -> Table {
    let columns =
        ["Node", "Role", "RPC", ">Process", ">Memory", "Engine", ">Its memory", ">Peers", ">Best", ">Final"];
    let mut table = empty(&columns);
    for status in statuses {
        let or_dash = |number: Option<u64>| number.map_or("–".into(), |number| number.to_string());
        let engine = match (status.engine, status.role) {
            (_, "block author") => "–".into(),
            (Some(id), _) => format!("runs ({id})"),
            (None, _) => "not there".into(),
        };
        let memory =
            status.engine_memory.iter().map(|bytes| mebibytes(*bytes)).collect::<Vec<_>>().join(" + ");
        table.add_row([
            status.name.clone(),
            status.role.into(),
            status.url.clone(),
            status.process.map_or("stopped".into(), |id| id.to_string()),
            status.process.map_or("–".into(), |_| format!("{} MiB", mebibytes(status.memory))),
            engine,
            if memory.is_empty() { "–".into() } else { format!("{memory} MiB") },
            or_dash(status.peers),
            or_dash(status.best),
            or_dash(status.finalized),
        ]);
    }
    table
}

/// An empty table. Columns whose name begins with `>` are aligned to the right.
pub fn empty(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    let coloured =
        std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    table.set_header(columns.iter().map(|name| {
        let cell = Cell::new(name.trim_start_matches('>'));
        if coloured {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    }));
    for (column, name) in table.column_iter_mut().zip(columns) {
        if name.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn mebibytes(bytes: u64) -> String {
    bytes.div_ceil(1024 * 1024).to_string()
}
