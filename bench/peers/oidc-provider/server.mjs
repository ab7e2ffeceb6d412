// node oidc-provider as a token server for the issuing benchmark: JWT access tokens through resource indicators,
// its own in-memory adapter, one client with client credentials. It may never listen anywhere but on 127.0.0.1.
//
// node server.mjs SETTINGS_FILE PROCESSES; the settings are the JSON that bench/harness/peers.py writes.

import cluster from 'node:cluster';
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import process from 'node:process';

import Provider from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const processes = Number(process.argv[3]);

function serve() {
  const jwk = createPrivateKey(settings.key).export({ format: 'jwk' });
  const provider = new Provider(settings.issuer, {
    clients: [{
      client_id: settings.client_id,
      client_secret: settings.client_secret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      response_types: [],
      id_token_signed_response_alg: settings.alg,
      redirect_uris: [],
    }],
    jwks: { keys: [{ ...jwk, alg: settings.alg, use: 'sig' }] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => settings.audience,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: settings.scope,
          audience: settings.audience,
          accessTokenTTL: settings.lifetime,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: settings.alg } },
        }),
      },
    },
  });
  provider.on('server_error', (_ctx, error) => process.stderr.write(`${error.stack}\n`));
  provider.listen(settings.port, '127.0.0.1');
}

if (processes > 1 && cluster.isPrimary) {
  for (let started = 0; started < processes; started += 1) cluster.fork();
} else {
  serve();
}
