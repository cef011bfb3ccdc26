//! Reading the state of training from bytes.

use bincode::config::standard;
use bincode::serde::{decode_from_slice, encode_to_vec};
use burn::record::{FullPrecisionSettings, Recorder, RecorderError};
use burn::tensor::backend::Backend;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Reads what burn's `BinBytesRecorder` has written. That one panics when bytes are damaged: here it
/// is an error.
#[derive(Debug, Clone, Default)]
pub(super) struct BytesReader;

impl<B: Backend> Recorder<B> for BytesReader {
    type Settings = FullPrecisionSettings;
    type RecordArgs = ();
    type RecordOutput = Vec<u8>;
    type LoadArgs = Vec<u8>;

    fn save_item<I: Serialize>(&self, item: I, (): ()) -> Result<Vec<u8>, RecorderError> {
        encode_to_vec(item, standard()).map_err(unknown)
    }

    fn load_item<I: DeserializeOwned>(&self, bytes: &mut Vec<u8>) -> Result<I, RecorderError> {
        let (item, read) = decode_from_slice(bytes, standard()).map_err(unknown)?;
        if read != bytes.len() {
            return Err(unknown(format!("{} bytes too many", bytes.len() - read)));
        }
        Ok(item)
    }
}

fn unknown(error: impl std::fmt::Display) -> RecorderError {
    RecorderError::Unknown(error.to_string())
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use burn::backend::Flex;
    use burn::module::Module;
    use burn::nn::{Linear, LinearConfig, LinearRecord};
    use burn::record::{BinBytesRecorder, FullPrecisionSettings, Recorder};

    use super::BytesReader;

    #[test]
    fn records_of_burn_are_read_and_damage_is_an_error() {
        let device = Default::default();
        let layer: Linear<Flex> = LinearConfig::new(3, 4).init(&device);
        // Made before the layer is copied: a copy would make values of its own.
        let weight = layer.weight.to_data();
        let theirs = BinBytesRecorder::<FullPrecisionSettings>::default();
        let record = layer.clone().into_record();
        let bytes = Recorder::<Flex>::record(&theirs, record, ()).expect("bytes");

        let load = |bytes: &[u8]| {
            let loaded = Recorder::<Flex>::load(&BytesReader, bytes.to_vec(), &device);
            loaded.map(|record: LinearRecord<Flex>| layer.clone().load_record(record))
        };
        let loaded = load(&bytes).expect("a layer");
        assert_eq!(loaded.weight.to_data(), weight);
        for length in 0..bytes.len() {
            assert!(load(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
        assert!(load(&[&bytes[..], &[0]].concat()).is_err());
    }
}
