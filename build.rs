//! Links the binding against the N-API symbols of the Node that loads it.

fn main() {
    napi_build::setup();
}
