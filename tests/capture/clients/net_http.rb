# Ruby's Net::HTTP: a connection for each host, kept alive; every second answer as a stream.
require 'net/http'
require 'uri'

links = {}
ARGV.each_slice(3).with_index do |(wish, url, file), number|
  uri = URI(url)
  link = links["#{uri.scheme} #{uri.host}:#{uri.port}"] ||=
    Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == 'https')
  request = Net::HTTP::Post.new(uri, 'Content-Type' => 'application/json', 'Authorization' => 'Bearer sk-standin-secret',
                                     'x-standin' => wish, 'x-tally-tags' => "exchange=#{number}.#{wish.split(',')[0]}")
  request.body = File.binread(file)
  received = String.new
  response = link.request(request) do |arriving|
    arriving.read_body { |piece| received << piece } if number.odd?
  end
  received = response.body unless number.odd?
  $stdout.write("#{response.code}\n", received, "\n")
end
links.each_value(&:finish)
