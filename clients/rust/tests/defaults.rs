//! The contract's files, where they are linked from: the project's own, in a checkout.

use std::fs;
use std::path::Path;

#[test]
fn the_contract_in_this_package_is_the_projects_own() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let protos = here.join("../../protos");
    for name in ["headgate/v1/chat.proto", "channel_defaults.json", "service_config.json"] {
        let packed = here.join("proto").join(name);
        assert_eq!(packed.canonicalize().unwrap(), protos.join(name).canonicalize().unwrap());
        assert!(fs::symlink_metadata(&packed).unwrap().is_symlink(), "{name} is a copy");
    }
}
