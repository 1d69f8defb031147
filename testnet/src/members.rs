//! Members of a network: the authors and operators in the genesis of the chain `local`.

use poq_runtime::demo::{Operator, Role, OPERATORS};

/// Names of the development keys of the authors of `local`.
const AUTHORS: [&str; 4] = ["Alice", "Bob", "Charlie", "Dave"];

/// A block author or an operator, each with a node of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of its node: `alice`, `operator-3`.
    pub name: String,
    /// Task of its node.
    pub part: Part,
}

/// Task of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Authors blocks and votes on finality.
    Author {
        /// Secret URI of its session keys.
        uri: String,
    },
    /// Works for an operator, with an engine.
    Operator {
        /// Secret URI of its worker key.
        uri: String,
        /// Account of the operator.
        account: [u8; 32],
        /// Whether it scores; otherwise it answers.
        scores: bool,
    },
}

/// A key for a node's keystore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// `sr25519` or `ed25519`.
    pub scheme: &'static str,
    /// Key type: four letters.
    pub kind: &'static str,
    /// Secret URI.
    pub uri: &'a str,
}

impl Member {
    /// The keys that its node needs.
    pub fn keys(&self) -> Vec<Key<'_>> {
        match &self.part {
            Part::Author { uri } => vec![
                Key { scheme: "sr25519", kind: "babe", uri },
                Key { scheme: "ed25519", kind: "gran", uri },
            ],
            Part::Operator { uri, .. } => vec![Key { scheme: "sr25519", kind: "poq!", uri }],
        }
    }

    /// Role, for people.
    pub fn role(&self) -> &'static str {
        match self.part {
            Part::Author { .. } => "block author",
            Part::Operator { scores: true, .. } => "quality validator",
            Part::Operator { scores: false, .. } => "inference node",
        }
    }

    /// Whether it authors blocks.
    pub fn is_author(&self) -> bool {
        matches!(self.part, Part::Author { .. })
    }

    /// Whether it is an operator.
    pub fn is_operator(&self) -> bool {
        !self.is_author()
    }

    /// Whether it scores.
    pub fn scores(&self) -> bool {
        matches!(self.part, Part::Operator { scores: true, .. })
    }

    /// The operator's account.
    pub fn account(&self) -> Option<[u8; 32]> {
        match self.part {
            Part::Author { .. } => None,
            Part::Operator { account, .. } => Some(account),
        }
    }
}

/// The four authors and the seven operators.
pub fn all() -> Vec<Member> {
    let authors = AUTHORS
        .iter()
        .map(|name| Member { name: name.to_lowercase(), part: Part::Author { uri: format!("//{name}") } });
    let operators = OPERATORS.iter().enumerate().map(|(index, operator)| Member {
        name: format!("operator-{index}"),
        part: Part::Operator {
            uri: Operator::worker_uri(index),
            account: operator.account,
            scores: operator.role == Role::QualityValidator,
        },
    });
    authors.chain(operators).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_the_one_of_the_genesis() {
        let members = all();
        assert_eq!(members.iter().filter(|member| member.is_author()).count(), 4);
        assert_eq!(members.iter().filter(|member| member.is_operator()).count(), OPERATORS.len());
        assert_eq!(members.iter().filter(|member| member.scores()).count(), 5);
    }
}
