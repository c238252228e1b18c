"""The service is ready behind its Service's name, and tells what is in use."""

from service import API, expect

expect(200, "GET", f"{API}/readyz")
use = expect(200, "GET", f"{API}/use-model")
print(f"in use: {use['name']} version {use['version']}, epoch {use['epoch']}")
