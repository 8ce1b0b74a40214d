//! How far a pull is, in words: the daemon tells of each layer what it does with it.

use std::{collections::BTreeMap, fmt};

use bollard::models::CreateImageInfo;

/// The layers of an image on their way here.
#[derive(Default)]
pub(super) struct Layers {
    by_id: BTreeMap<String, Layer>,
}

#[derive(Default)]
struct Layer {
    /// Bytes.
    loaded: i64,
    total: i64,
    done: bool,
}

impl Layers {
    /// Takes one message of the daemon.
    pub(super) fn take(&mut self, step: CreateImageInfo) {
        let (Some(id), Some(status)) = (step.id, step.status) else { return };
        // The first line names the tag in the place of a layer.
        if status.starts_with("Pulling from") {
            return;
        }
        let layer = self.by_id.entry(id).or_default();
        match status.as_str() {
            "Downloading" => {
                let progress = step.progress_detail.unwrap_or_default();
                layer.loaded = progress.current.unwrap_or(layer.loaded);
                layer.total = progress.total.unwrap_or(layer.total);
            }
            "Download complete" => layer.loaded = layer.total,
            "Pull complete" | "Already exists" => {
                layer.loaded = layer.total;
                layer.done = true;
            }
            _ => {}
        }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.by_id.is_empty() {
            return Ok(());
        }
        let sum = |bytes: fn(&Layer) -> i64| self.by_id.values().map(bytes).sum::<i64>() as f64 / 1e6;
        let done = self.by_id.values().filter(|layer| layer.done).count();
        write!(f, "{done} of {} layers", self.by_id.len())?;
        let total = sum(|layer| layer.total);
        if total > 0.0 {
            write!(f, ", {:.1} of {total:.1} MB loaded", sum(|layer| layer.loaded))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn a_pull_is_told_in_layers_and_bytes() {
        let mut layers = Layers::default();
        assert_eq!(layers.to_string(), "");
        let mut take = |id: &str, status: &str, progress: Option<(i64, i64)>| {
            layers.take(CreateImageInfo {
                id: Some(id.to_owned()),
                status: Some(status.to_owned()),
                progress_detail: progress
                    .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
                ..CreateImageInfo::default()
            });
        };
        take("latest", "Pulling from library/big", None);
        take("a", "Already exists", None);
        take("b", "Downloading", Some((1_000_000, 4_000_000)));
        take("c", "Downloading", Some((500_000, 2_000_000)));
        take("c", "Download complete", None);
        assert_eq!(layers.to_string(), "1 of 3 layers, 3.0 of 6.0 MB loaded");
    }
}
