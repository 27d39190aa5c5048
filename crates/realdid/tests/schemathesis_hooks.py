"""What schemathesis cannot make by itself: to it CBOR is bytes, and mostly wrong ones."""

import schemathesis

schemathesis.serializer.alias("application/cbor", "application/octet-stream")
