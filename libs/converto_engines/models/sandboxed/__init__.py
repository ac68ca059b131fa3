"""Programs of this family that run in the sandbox: they import `sandboxed` packages and named third-party ones only."""
