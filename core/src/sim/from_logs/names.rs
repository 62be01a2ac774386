//! Names by number, in order of first appearance.

use std::collections::HashMap;

#[derive(Debug, Default)]
pub(super) struct Names {
    indices: HashMap<String, u32>,
    names: Vec<String>,
}

impl Names {
    /// The number of a name, a new one if it is new.
    pub(super) fn index(&mut self, name: &str) -> u32 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = self.names.len() as u32;
        self.indices.insert(name.to_owned(), index);
        self.names.push(name.to_owned());
        index
    }

    pub(super) fn name(&self, index: u32) -> &str {
        &self.names[index as usize]
    }

    pub(super) fn all(&self) -> &[String] {
        &self.names
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Names that a CSV without quotes can hold, by number; still different from each other.
    pub(super) fn plain(&self) -> Vec<String> {
        let mut plain: Vec<String> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let fits = |c: char| if c.is_control() || matches!(c, ',' | '"') { '_' } else { c };
            let base: String = name.trim().chars().map(fits).collect();
            let base = if base.is_empty() { "_".to_owned() } else { base };
            let mut unique = base.clone();
            let mut number = 2;
            while plain.contains(&unique) {
                unique = format!("{base}_{number}");
                number += 1;
            }
            plain.push(unique);
        }
        plain
    }
}
