<?php
// PHP's own http:// and https:// streams.
for ($i = 1, $number = 0; $i + 2 < $argc; $i += 3, $number++) {
    [$wish, $url, $file] = array_slice($argv, $i, 3);
    $id = explode(',', $wish)[0];
    $context = stream_context_create(['http' => [
        'method' => 'POST', 'protocol_version' => 1.1, 'ignore_errors' => true, 'content' => file_get_contents($file),
        'header' => ['Content-Type: application/json', 'Authorization: Bearer sk-standin-secret', 'Connection: close',
            "x-standin: $wish", "x-tally-tags: exchange=$number.$id"],
    ]]);
    $stream = fopen($url, 'rb', false, $context);
    $received = '';
    while (!feof($stream)) {
        $received .= fread($stream, 500);
    }
    fclose($stream);
    echo explode(' ', $http_response_header[0])[1], "\n", $received, "\n";
}
