<?php
// A program as anybody would write it, with curl if there is php-curl. Knows nothing of tally.
$url = 'https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent';
$body = json_encode(['contents' => [['role' => 'user', 'parts' => [['text' => 'Name a river.']]]]]);
$headers = ['Content-Type: application/json', 'x-goog-api-key: demo'];
if (function_exists('curl_init')) {
    $handle = curl_init($url);
    curl_setopt_array($handle, [CURLOPT_POSTFIELDS => $body, CURLOPT_HTTPHEADER => $headers, CURLOPT_RETURNTRANSFER => true]);
    $answer = curl_exec($handle);
} else {
    $options = ['http' => ['method' => 'POST', 'header' => $headers, 'content' => $body]];
    $answer = file_get_contents($url, false, stream_context_create($options));
}
echo json_decode($answer)->candidates[0]->content->parts[0]->text, "\n";
