<?php
// php-curl: one handle; every second answer through a write function.
$handle = curl_init();
for ($i = 1, $number = 0; $i + 2 < $argc; $i += 3, $number++) {
    [$wish, $url, $file] = array_slice($argv, $i, 3);
    $id = explode(',', $wish)[0];
    $received = '';
    curl_reset($handle);
    curl_setopt_array($handle, [
        CURLOPT_URL => $url,
        CURLOPT_POSTFIELDS => file_get_contents($file),
        CURLOPT_ENCODING => '',
        CURLOPT_HTTPHEADER => ['Content-Type: application/json', 'Authorization: Bearer sk-standin-secret',
            "x-standin: $wish", "x-tally-tags: exchange=$number.$id"],
    ]);
    if ($number % 2) {
        curl_setopt($handle, CURLOPT_WRITEFUNCTION, function ($handle, $piece) use (&$received) {
            $received .= $piece;
            return strlen($piece);
        });
        curl_exec($handle);
    } else {
        curl_setopt($handle, CURLOPT_RETURNTRANSFER, true);
        $received = curl_exec($handle);
    }
    echo curl_getinfo($handle, CURLINFO_RESPONSE_CODE), "\n", $received, "\n";
}
