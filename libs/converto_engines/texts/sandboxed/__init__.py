"""Programs of this family that run inside the sandbox; they import `sandboxed` packages and named third-party ones only."""
