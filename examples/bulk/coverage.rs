//! What a run covers, as a table.

use hart_examples::tell;
use hart_pipeline::bulk::Coverage;

/// The rarest pairs that are shown.
const RAREST: usize = 5;

/// Shows every label with its share, and the rarest pairs.
pub(crate) fn show(coverage: &Coverage) {
    let pictures = coverage.pictures as f64;
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    tell(format!("{:<18} {:<22} {:>9} {:>10} {:>9}", "name", "label", "wanted", "drawn", "share"));
    for label in &coverage.labels {
        let wanted = label.wanted.map_or("-".to_string(), percent);
        let share = percent(label.drawn as f64 / pictures);
        tell(format!(
            "{:<18} {:<22} {wanted:>9} {:>10} {share:>9}",
            label.name, label.label, label.drawn
        ));
    }
    let mut pairs: Vec<_> = coverage.pairs.iter().filter(|pair| pair.wanted != Some(0.0)).collect();
    let excluded = coverage.pairs.len() - pairs.len();
    pairs.sort_by_key(|pair| pair.drawn);
    let never = pairs.iter().filter(|pair| pair.drawn == 0).count();
    tell(format!("{} pairs of labels, {excluded} more excluded, {never} never drawn", pairs.len()));
    for pair in pairs.iter().take(RAREST) {
        let [one, other] = [0, 1].map(|i| format!("{} {}", pair.names[i], pair.labels[i]));
        tell(format!("  rare: {one} with {other}, {} times", pair.drawn));
    }
}

/// Every label and every pair of labels, as CSV.
pub(crate) fn table(coverage: &Coverage) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(vec![]);
    table.write_record(["name", "label", "other_name", "other_label", "wanted_share", "drawn"])?;
    let wanted = |share: Option<f64>| share.map_or(String::new(), |share| format!("{share:.6}"));
    for label in &coverage.labels {
        let (share, drawn) = (wanted(label.wanted), label.drawn.to_string());
        table.write_record([&label.name, &label.label, "", "", &share, &drawn])?;
    }
    for pair in &coverage.pairs {
        let (share, drawn) = (wanted(pair.wanted), pair.drawn.to_string());
        let ([name, other], [label, other_label]) = (&pair.names, &pair.labels);
        table.write_record([name, label, other, other_label, &share, &drawn])?;
    }
    Ok(table.into_inner()?)
}
