//! How often labels have to come.

use hart_core::Result;
use serde_json::Value;

use super::Recipe;
use crate::problem::Problem;

impl Recipe {
    /// Checks that as many pictures as `at_least` says have the labels that it names.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) with how many there are.
    pub fn check_at_least(&self) -> Result<()> {
        let wishes = &self.file.at_least;
        let mut counts = vec![0; wishes.len()];
        for index in 0..if wishes.is_empty() { 0 } else { self.pictures } {
            let labels = self.picture(index).labels;
            for (count, wish) in counts.iter_mut().zip(wishes) {
                let has = |(key, label): (&String, &String)| {
                    labels.get(key).and_then(Value::as_str) == Some(label)
                };
                *count += u64::from(wish.of.iter().all(has));
            }
        }
        for (place, (count, wish)) in counts.into_iter().zip(wishes).enumerate() {
            if count < wish.pictures {
                let found = format!("{}, and {count} of {} come", wish.pictures, self.pictures);
                let expected = "no more than come: raise the weights of these labels, or the number \
                                of pictures, or exclude less";
                let problem = Problem::new(&["at_least"], found, expected).at(place);
                return Err(problem.key("pictures").into_error(&self.name, &self.text));
            }
        }
        Ok(())
    }
}
