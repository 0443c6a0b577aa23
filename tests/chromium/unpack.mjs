// Unpacks the browser of @sparticuz/chromium below TMPDIR, unless that was done before, and prints where things are, as JSON.
import { tmpdir } from "node:os";
import { join } from "node:path";

// The package unpacks the shared libraries that a bare system lacks only where it believes to be in such a place.
process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs24.x";
process.env.AWS_LAMBDA_JS_RUNTIME = "nodejs24.x";

const { default: chromium } = await import("@sparticuz/chromium");
chromium.setGraphicsMode = false;
console.log(
  JSON.stringify({
    executable: await chromium.executablePath(),
    fonts: join(tmpdir(), "fonts"),
    libraries: join(tmpdir(), "al2023", "lib"),
  }),
);
