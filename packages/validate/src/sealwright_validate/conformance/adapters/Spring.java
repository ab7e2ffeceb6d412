// Puts tokens to Spring Security's resource server, as its documentation shows for RFC 9068 access tokens: a
// NimbusJwtDecoder over the issuer's JWKS, the validators of JwtValidators.createAtJwtValidator(), and
// JwtAuthenticationProvider, which turns what they say into an authentication or a refusal. Reads JSON lines: first the
// setup, then one token a line; answers each with a verdict. Started from its source, with the jars of
// adapters/spring on the class path. May never check anything that Spring was not asked to check.
import com.nimbusds.jose.util.JSONObjectUtils;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.core.SpringSecurityCoreVersion;
import org.springframework.security.oauth2.jose.jws.SignatureAlgorithm;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationProvider;

public class Spring {
  private static JwtAuthenticationProvider provider(Map<String, Object> setup) throws Exception {
    List<String> allowed = JSONObjectUtils.getStringList(setup, "algorithms");
    NimbusJwtDecoder decoder =
        NimbusJwtDecoder.withJwkSetUri((String) setup.get("jwks_uri"))
            .validateType(false) // the validator below looks at typ
            .jwsAlgorithms(
                algorithms -> {
                  for (SignatureAlgorithm known : SignatureAlgorithm.values()) {
                    if (allowed.contains(known.getName())) {
                      algorithms.add(known);
                    }
                  }
                })
            .build();
    decoder.setJwtValidator(
        JwtValidators.createAtJwtValidator()
            .issuer((String) setup.get("issuer"))
            .audience((String) setup.get("audience"))
            .validators( // any client, as long as one is named
                all -> all.put("client_id", new JwtClaimValidator<Object>("client_id", it -> it != null)))
            .build());
    return new JwtAuthenticationProvider(decoder);
  }

  private static Map<String, Object> judge(JwtAuthenticationProvider provider, String token) {
    try {
      provider.authenticate(new BearerTokenAuthenticationToken(token));
      return Map.of("accepted", true, "detail", "");
    } catch (AuthenticationException refused) {
      return Map.of("accepted", false, "detail", refused.getClass().getSimpleName());
    } catch (RuntimeException | StackOverflowError fault) {
      return Map.of("detail", fault.getClass().getSimpleName());
    }
  }

  public static void main(String[] arguments) throws Exception {
    PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    JwtAuthenticationProvider provider = null;
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Map<String, Object> asked = JSONObjectUtils.parse(line);
      if (asked.containsKey("jwks_uri")) {
        provider = provider(asked);
        out.println(JSONObjectUtils.toJSONString(Map.of("version", SpringSecurityCoreVersion.getVersion())));
      } else {
        out.println(JSONObjectUtils.toJSONString(judge(provider, (String) asked.get("token"))));
      }
    }
  }
}
