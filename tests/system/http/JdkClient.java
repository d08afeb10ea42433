import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** Sends requests with the JDK's own client, as it is without options, and prints the status of each answer. */
public class JdkClient {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        URI uri = URI.create(arguments[0] + "/v1/embeddings");
        byte[] body = "{\"input\": [\"The Danube flows through ten countries.\"]}".getBytes(StandardCharsets.UTF_8);
        HttpRequest.Builder builder = HttpRequest.newBuilder(uri).timeout(Duration.ofSeconds(20))
            .header("Content-Type", "application/json");
        print(client, builder.copy().POST(BodyPublishers.ofByteArray(body)).build());
        // A stream has no length: the body is chunked.
        print(client, builder.copy().POST(BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(body))).build());
        print(client, builder.copy().expectContinue(true).POST(BodyPublishers.ofByteArray(body)).build());
        print(client, HttpRequest.newBuilder(URI.create(arguments[0] + "/v1/models")).build());
        print(client, HttpRequest.newBuilder(URI.create(arguments[0] + "/readyz"))
            .method("HEAD", BodyPublishers.noBody()).build());
    }

    private static void print(HttpClient client, HttpRequest request) throws Exception {
        HttpResponse<String> response = client.send(request, BodyHandlers.ofString());
        System.out.println(response.statusCode() + " " + response.version() + " " + response.body().length());
    }
}
