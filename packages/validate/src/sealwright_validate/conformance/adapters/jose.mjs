// Puts tokens to `jose`, as its documentation shows: jwtVerify with a local JWKS, issuer, audience, typ, algorithms and
// required claims. Reads JSON lines: first the setup, then one token a line; answers each with a verdict. Run it in a
// folder whose node_modules holds jose. May never check anything that jose was not asked to check.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "here.js"));
const jose = await import(pathToFileURL(require.resolve("jose")));
const version = JSON.parse(readFileSync(join(process.cwd(), "node_modules/jose/package.json"), "utf8")).version;
const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");

let keys;
let options;

async function judge(token) {
  try {
    await jose.jwtVerify(token, keys, options);
    say({ accepted: true, detail: "" });
  } catch (error) {
    const known = error instanceof jose.errors.JOSEError;
    say(known ? { accepted: false, detail: error.code } : { detail: `${error.name}: ${error.message}` });
  }
}

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const asked = JSON.parse(line);
  if (asked.jwks) {
    keys = jose.createLocalJWKSet(asked.jwks);
    options = {
      issuer: asked.issuer,
      audience: asked.audience,
      typ: asked.token_type,
      algorithms: asked.algorithms,
      requiredClaims: ["exp", "iat", "iss", "aud", "sub"],
      ...(asked.now ? { currentDate: new Date(asked.now * 1000) } : {}),
    };
    say({ version });
  } else {
    await judge(asked.token);
  }
}
